"""A chat is told anew in each of its turns: what was read of a message stays, until the message says something else."""

from __future__ import annotations

import copy
import gc
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from spanloom.step import Message, Text, ToolCall
from spanloom_langchain.messages import message_of, messages_of
from spanloom_langchain.recall import Recall

from tests.integrations.langchain.fakes import Chat

texts = st.text("ab", max_size=3)
plain = st.recursive(
    st.none() | st.integers(0, 3) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(texts, plain | st.builds(object), max_size=3)
blocks = st.lists(texts | st.builds(lambda t: {"type": "text", "text": t}, texts) | st.dictionaries(texts, plain))


def chat(turns: int = 40) -> list[BaseMessage]:
    said: list[BaseMessage] = [SystemMessage("You are kind.")]
    for n in range(turns):
        call = {"name": "search", "args": {"q": f"of turn {n}", "filters": {"year": [2025, n]}}, "id": f"c{n}"}
        said += [HumanMessage(f"question {n} " * 20), AIMessage("", tool_calls=[call])]
        said += [
            ToolMessage(f"found {n} " * 40, tool_call_id=f"c{n}"),
            AIMessage([{"type": "text", "text": f"so {n}"}]),
        ]
    return said


def test_the_same_messages_in_the_next_step_are_the_same_record(traced):
    said = chat(3)
    for name in ("first", "second"):
        Chat().invoke(said, {**traced.config, "run_name": name})
    traced.flush()
    first, second = (traced.memory.step(name).content.input_messages.resolve() for name in ("first", "second"))
    assert len(first) == len(said)
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_equal_messages_that_are_other_objects_have_records_of_their_own():
    one, other = messages_of([HumanMessage("hi"), HumanMessage("hi")])
    assert one == other
    assert one is not other


class Changing(RuleBasedStateMachine):
    """A message in the hands of an application that changes whatever it likes of it, in place too."""

    @initialize(kind=st.sampled_from([AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage]))
    def begin(self, kind):
        self.message = kind("a", tool_call_id="c") if kind is ToolMessage else kind("a")
        self.read = message_of(self.message)

    @rule(content=texts | blocks)
    def says(self, content):
        self.message.content = content

    @rule(text=texts)
    def says_more(self, text):
        if isinstance(self.message.content, list):
            self.message.content.append(text)

    @rule(text=texts)
    def changes_a_block(self, text):
        for block in self.message.content if isinstance(self.message.content, list) else ():
            if isinstance(block, dict):
                block["text"] = text

    @rule(name=st.none() | texts)
    def is_called(self, name):
        self.message.name = name

    @rule(text=texts)
    def thinks(self, text):
        self.message.additional_kwargs["reasoning_content"] = text

    @rule(name=texts, args=arguments)
    def asks(self, name, args):
        if isinstance(self.message, AIMessage):
            self.message.tool_calls.append({"name": name, "args": args, "id": None, "type": "tool_call"})

    @rule(value=plain)
    def asks_for_something_else(self, value):
        for call in getattr(self.message, "tool_calls", ()):
            for inner in call["args"].values():
                if isinstance(inner, dict):
                    inner["deep"] = value
                elif isinstance(inner, list):
                    inner.append(value)
            call["args"]["new"] = value

    @rule(call_id=texts)
    def answers_another_call(self, call_id):
        if isinstance(self.message, ToolMessage):
            self.message.tool_call_id = call_id

    @invariant()
    def the_record_says_what_the_message_says(self):
        if hasattr(self, "message"):
            (read,) = messages_of([self.message])
            twin = self.message.__copy__()  # another object with the same fields
            assert read == message_of(twin)
            assert message_of(self.message) == read


TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)


@given(args=st.dictionaries(texts, plain, min_size=1, max_size=3))
def test_a_record_does_not_change_with_the_message_that_it_was_read_from(args):
    call = {"name": "s", "args": copy.deepcopy(args), "id": "1"}
    message = AIMessage([{"type": "text", "text": "a"}], tool_calls=[call])
    record = message_of(message)
    message.content.clear()
    message.tool_calls[0]["args"].clear()
    assert record.parts == (Text("a"), ToolCall("s", args, "1"))


def test_what_was_read_of_a_message_goes_with_it():
    recall = Recall()
    said = chat(2)
    for message in said:
        recall.read(message, lambda m: (m.content,), lambda fields: Message("user", (Text(str(fields)),)))
    assert len(recall) == len(said)
    del message, said
    gc.collect()
    assert len(recall) == 0


def test_no_more_than_so_many_are_recalled_the_oldest_go_first():
    recall, said = Recall(most=3), [HumanMessage(str(n)) for n in range(5)]
    read = [recall.read(m, lambda m: (m.content,), lambda f: Message("user", (Text(f[0]),))) for m in said]
    again = [recall.read(m, lambda m: (m.content,), lambda f: Message("user", (Text(f[0]),))) for m in reversed(said)]
    assert len(recall) == 3
    assert [one is other for one, other in zip(read, reversed(again), strict=True)] == [False] * 2 + [True] * 3


def test_several_workers_read_one_chat_at_once():
    said, read, start = chat(20), [], threading.Barrier(4)

    def work():
        start.wait(5.0)
        read.extend([messages_of(said) for _ in range(20)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert len(read) == 80
    assert all(one == read[0] for one in read)


def test_a_long_chat_costs_a_small_part_the_second_time():
    def cost(said: list[BaseMessage]) -> float:
        begun = time.thread_time()
        messages_of(said)
        return time.thread_time() - begun

    chats = [chat(40) for _ in range(10)]
    first, again = min(map(cost, chats)), min(map(cost, chats))
    assert again < first / 3, f"{again / first:.2f} of the first time"
