"""Which template a generation was made from, by its hash, and whether its prompt was sent before; both frameworks."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys

import pytest
import spanloom
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
    StringPromptTemplate,
)
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.prompts import ChatPromptTemplate as LlamaChatPrompt
from llama_index.core.prompts import PromptTemplate as LlamaPrompt
from llama_index.core.prompts import RichPromptTemplate
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel
from spanloom.destinations.destination import visible
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_langchain.templates import template_of
from spanloom_llama_index import instrument, uninstrument
from workflows.retry_policy import retry_policy, stop_after_attempt, wait_fixed

from tests.integrations.langchain.fakes import Chat, Words, call, search
from tests.integrations.llama_index.conftest import FRAMEWORK_WARNINGS
from tests.integrations.llama_index.fakes import Completing, FakeLLM, Shelf, add, embedding, says

pytestmark = [pytest.mark.filterwarnings(warning) for warning in FRAMEWORK_WARNINGS]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Calls:
    """The model calls of one configuration, in the order they began."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.loom = spanloom.configure(self.memory, tracer_provider=TracerProvider(shutdown_on_exit=False))
        self.config = {"callbacks": [SpanloomCallbackHandler(self.loom)]}

    def seen(self):
        assert self.loom.flush()
        read = [(e.step, visible(e, self.memory.content)) for e in self.memory.spans if e.step is not None]
        return sorted((pair for pair in read if pair[0].kind == "llm"), key=lambda pair: pair[0].start_ns)

    @property
    def templates(self):
        return [content.template_hash for _, content in self.seen()]

    @property
    def repeats(self):
        return [(step.repeats.trace, step.repeats.minute) if step.repeats else None for step, _ in self.seen()]


@pytest.fixture
def calls():
    with strict():
        made = Calls()
        yield made
        made.loom.shutdown()


@pytest.fixture
def indexed(calls):
    before = Settings._llm, Settings._embed_model
    Settings.llm, Settings.embed_model = FakeLLM(), embedding()
    instrument(calls.loom)
    yield calls
    uninstrument()
    Settings._llm, Settings._embed_model = before


# ---------------------------------------------------------------- LangChain: templates
def test_prompts_of_one_template_have_its_hash_whatever_the_variables_say(calls):
    chain = PromptTemplate.from_template("Why is {thing} slow?") | Words()
    chain.invoke({"thing": "it"}, calls.config)
    chain.invoke({"thing": "the cache"}, calls.config)
    assert calls.templates == [sha256("Why is {thing} slow?")] * 2
    assert len({content.prompt_hash for _, content in calls.seen()}) == 2


def test_a_chat_template_is_its_messages_with_their_placeholders(calls):
    def prompt(system="Be {tone}.", history="history"):
        return ChatPromptTemplate([("system", system), MessagesPlaceholder(history), ("human", "{question}")])

    values = {"tone": "kind", "history": [], "question": "Why?"}
    (prompt() | Chat()).invoke(values, calls.config)
    list((prompt() | Chat()).stream({**values, "tone": "rude", "history": [HumanMessage("Hi")]}, calls.config))
    asyncio.run((prompt() | Chat()).ainvoke({**values, "question": "How?"}, calls.config))
    (prompt("Be very {tone}.") | Chat()).invoke(values, calls.config)
    (prompt(history="past") | Chat()).invoke({**values, "past": []}, calls.config)
    one, two, three, other, past = calls.templates
    assert one == two == three
    assert len({one, other, past}) == 3


def test_what_a_template_is_given_beforehand_is_a_variable_too(calls):
    prompt = ChatPromptTemplate([("system", "It is {day}."), ("human", "{q}")])
    for day in ("Monday", lambda: "Tuesday"):
        (prompt.partial(day=day) | Chat()).invoke({"q": "?"}, calls.config)
    (prompt | Chat()).invoke({"q": "?", "day": "Sunday"}, calls.config)
    assert len(set(calls.templates)) == 1


def few_shot(*examples):
    return FewShotPromptTemplate(
        examples=[{"q": q, "a": a} for q, a in examples],
        example_prompt=PromptTemplate.from_template("{q}: {a}"),
        prefix="It is {day}.",
        suffix="{question}:",
        input_variables=["question", "day"],
    )


def test_examples_are_part_of_a_template(calls):
    for prompt in (few_shot(("1", "one")).partial(day=lambda: "Monday"), few_shot(("1", "one"))):
        (prompt | Words()).invoke({"question": "2", "day": "?"}, calls.config)
    (few_shot(("1", "uno")) | Words()).invoke({"question": "2", "day": "?"}, calls.config)
    english, again, spanish = calls.templates
    assert english == again != spanish


def test_examples_in_a_chat_template(calls):
    def prompt(answer):
        shots = FewShotChatMessagePromptTemplate(
            examples=[{"q": "1", "a": answer}], example_prompt=ChatPromptTemplate([("human", "{q}"), ("ai", "{a}")])
        )
        return ChatPromptTemplate([("system", "Count."), shots, AIMessage("Well?"), ("human", "{question}")])

    for answer, question in (("one", "2"), ("one", "3"), ("uno", "2")):
        (prompt(answer) | Chat()).invoke({"question": question}, calls.config)
    english, again, spanish = calls.templates
    assert english == again != spanish


def test_pictures_and_other_blocks_are_part_of_a_template():
    def prompt(url):
        return ChatPromptTemplate(
            [("human", [{"type": "text", "text": "{q}"}, {"type": "image_url", "image_url": url}])]
        )

    (message,) = template_of(prompt("http://h/{name}")._serialized)
    assert [type(p).__name__ for p in message.parts] == ["Text", "OtherPart"]
    assert template_of(prompt("http://h/{name}")._serialized) != template_of(prompt("http://g/{name}")._serialized)


class Shouted(StringPromptTemplate):
    """A template of the application's own, with no text in it."""

    marks: int = 1
    voice: object = print

    def format(self, **values):
        return str(values["q"]).upper() + "!" * self.marks


def test_a_template_class_of_the_applications_own_is_its_settings(calls):
    for marks, q in ((1, "a"), (1, "b"), (2, "a")):
        (Shouted(input_variables=["q"], marks=marks) | Words()).invoke({"q": q}, calls.config)
    one, again, two = calls.templates
    assert one == again != two


def test_a_templates_hash_is_the_same_in_every_process():
    code = """
from langchain_core.prompts import *
from spanloom.content.read import read
from spanloom.identity import NOBODY
from spanloom.step import Content
from spanloom_langchain.templates import template_of
prompt = FewShotPromptTemplate(examples=[{"a": "1"}], example_prompt=PromptTemplate.from_template("{a}"), prefix="",
    suffix="{q} {now}", input_variables=["q"], partial_variables={"now": lambda: "now"})
print(read(Content(template=template_of(prompt._serialized)), NOBODY).template_hash)
"""
    seen = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "12"
    }
    assert len(seen) == 1


def test_retries_and_fallbacks_have_the_template_and_a_later_generation_has_not(calls):
    prompt = ChatPromptTemplate.from_template("Tell me of {x}.")
    flaky = Chat(fails=1).with_retry(wait_exponential_jitter=False)
    stand_in = Chat(error=ConnectionError("503")).with_fallbacks([Chat()])
    chain = prompt | flaky | StrOutputParser() | Chat()
    chain.invoke({"x": "cats"}, calls.config)
    (prompt | stand_in).invoke({"x": "dogs"}, calls.config)
    made = sha256("Tell me of {x}.")
    assert calls.templates == [made, made, None, made, made]


def test_each_of_two_prompts_in_a_chain_feeds_its_own_generation(calls):
    first, second = ChatPromptTemplate.from_template("1 {x}"), ChatPromptTemplate.from_template("2 {x}")
    chain = first | Chat() | StrOutputParser() | {"x": RunnablePassthrough()} | second | Chat()
    RunnableLambda(lambda x: chain.invoke({"x": x})).batch(["a", "b"], calls.config)
    assert sorted(calls.templates) == sorted([sha256("1 {x}"), sha256("2 {x}")] * 2)


def test_of_several_prompts_beside_a_generation_the_one_counts_that_it_was_made_from(calls):
    first = ChatPromptTemplate([("system", "Be kind to {who}."), ("human", "{q}")])
    second = ChatPromptTemplate([("system", "Be rude to {who}."), ("human", "{q}")])
    text = PromptTemplate.from_template("Count: {q}")

    def node(values):
        one, two, three = first.invoke(values), second.invoke(values), text.invoke(values)
        Chat().invoke(one)
        Chat().invoke(two)
        Chat().invoke([*one.to_messages(), AIMessage("Well?"), HumanMessage("Go on.")])
        Words().invoke(three)
        Words().invoke(f"{three.text} Begin at one.")
        Chat().invoke("Something else")

    RunnableLambda(node).invoke({"who": "Ann", "q": "Why?"}, calls.config)
    one, two, again, three, more, other = calls.templates
    assert one == again != two
    assert None not in (one, two)
    assert three == more == sha256("Count: {q}")
    assert other is None


def test_a_prompt_whose_middle_is_trimmed_keeps_its_template(calls):
    prompt = ChatPromptTemplate([("human", "I am {who}."), MessagesPlaceholder("past"), ("human", "{q}")])
    chain = prompt | (lambda value: value.to_messages()[-2:]) | Chat()
    for q in ("Why?", "How?"):
        chain.invoke({"who": "Ann", "past": [AIMessage("Hello.")], "q": q}, calls.config)
    assert len(set(calls.templates)) == 1
    assert None not in calls.templates


def test_an_agents_calls_are_grouped_by_its_system_prompt_also_below_a_prompt(calls):
    agent = create_agent(Chat(answers=[call("search", q="x"), AIMessage("done")]), [search], system_prompt="Be brief.")
    agent.invoke({"messages": [("user", "Find x.")]}, calls.config)
    asked = ChatPromptTemplate.from_template("Find {x}.") | (lambda value: {"messages": value.to_messages()})
    agent = create_agent(Chat(answers=[call("search", q="y"), AIMessage("done")]), [search], system_prompt="Be brief.")
    (asked | agent).invoke({"x": "y"}, calls.config)
    assert calls.templates == [sha256("Be brief.")] * 4


def test_a_bare_call_without_a_system_prompt_has_no_template(calls):
    Chat().invoke("Why?", calls.config)
    Chat().invoke([("system", "Be kind."), ("user", "Why?")], calls.config)
    assert calls.templates == [None, sha256("Be kind.")]


# ---------------------------------------------------------------- LlamaIndex: templates
def test_predicting_with_a_template_tells_its_hash_and_the_same_text_is_the_same_template(indexed):
    prompt = LlamaPrompt("Tell me of {x}.")
    FakeLLM().predict(prompt, x="cats")
    list(FakeLLM().stream(prompt.partial_format(x="dogs")))
    asyncio.run(FakeLLM().apredict(prompt, x="birds"))
    Completing().predict(prompt, x="fish")
    (ChatPromptTemplate.from_template("Tell me of {x}.") | Chat()).invoke({"x": "mice"}, indexed.config)
    assert indexed.templates == [sha256("Tell me of {x}.")] * 5


def test_chat_templates_rich_ones_and_structured_answers(indexed):
    class Cat(BaseModel):
        name: str

    chat = LlamaChatPrompt.from_messages([("system", "Be {tone}."), ("user", "{q}")])
    for tone in ("kind", "rude"):
        FakeLLM().predict(chat, tone=tone, q="?")
    FakeLLM().predict(RichPromptTemplate("Tell me of {{ x }}."), x="cats")
    told = FakeLLM(answers=[says("", Cat={"name": "Tom"})]).structured_predict(
        Cat, LlamaPrompt("A {x}, please."), x="cat"
    )
    assert told.name == "Tom"
    kind, rude, rich, structured = indexed.templates
    assert kind == rude is not None
    assert (rich, structured) == (sha256("Tell me of {{ x }}."), sha256("A {x}, please."))


def test_a_query_engines_template_is_the_one_that_its_model_is_asked_with(indexed):
    index = SummaryIndex.from_documents([Document(text="Open until five.")])
    for question in ("When?", "Why?"):
        index.as_query_engine().query(question)
    index.as_query_engine(llm=Completing()).query("When?")  # a string model gets another one by LlamaIndex's own choice
    index.as_query_engine(text_qa_template=LlamaPrompt("{context_str} {query_str}")).query("When?")
    when, why, completing, own = indexed.templates
    assert when == why not in (None, completing)
    assert own == sha256("{context_str} {query_str}")


def test_a_chats_history_and_context_are_no_part_of_its_template(indexed):
    engine = ContextChatEngine.from_defaults(retriever=Shelf(), system_prompt="Be kind.", llm=FakeLLM())
    for question in ("When?", "Why?"):
        engine.chat(question)
    list(engine.stream_chat("How {so}?").response_gen)
    engine.chat("Really?")
    assert len(set(indexed.templates)) == 1
    assert len(indexed.templates) == 4
    other = ContextChatEngine.from_defaults(retriever=Shelf(), system_prompt="Be rude.", llm=FakeLLM())
    other.chat("When?")
    assert indexed.templates[-1] not in (None, indexed.templates[0])


def test_chats_and_agents_are_grouped_by_their_system_prompt(indexed):
    engine = SimpleChatEngine.from_defaults(llm=FakeLLM(), system_prompt="Be kind.")
    engine.chat("When?")
    engine.chat("Why?")
    model = FakeLLM(answers=[says("", add={"a": 1, "b": 2}), says("three")])

    async def run():
        await FunctionAgent(tools=[add], llm=model, system_prompt="Be kind.").run("Add 1 and 2.")

    asyncio.run(run())
    assert indexed.templates == [sha256("Be kind.")] * 4


# ---------------------------------------------------------------- repeats
def test_a_retry_repeats_its_prompt_and_so_does_a_fallback(calls):
    flaky = Chat(fails=2).with_retry(wait_exponential_jitter=False, stop_after_attempt=3)
    (ChatPromptTemplate.from_template("{x}") | flaky).invoke({"x": "cats"}, calls.config)
    Chat(error=ConnectionError("503")).with_fallbacks([Chat()]).invoke("dogs", calls.config)
    assert calls.repeats == [None, (1, 1), (2, 2), None, (1, 1)]
    assert calls.loom.stats()["prompts"] == {"repeated": 3}


def test_an_agent_that_goes_on_repeats_nothing_and_one_that_is_stuck_does(calls):
    agent = create_agent(Chat(answers=[call("search", q="x"), AIMessage("done")]), [search])
    agent.invoke({"messages": [("user", "Find x.")]}, calls.config)
    assert calls.repeats == [None, None]

    def stuck(question):
        return [Chat().invoke([("user", question)]).content for _ in range(4)][-1]

    RunnableLambda(stuck).invoke("Well?", calls.config)
    assert calls.repeats[2:] == [None, (1, 1), (2, 2), (3, 3)]


def test_the_same_question_of_two_requests_repeats_within_the_minute_alone(calls):
    for _ in range(2):
        (ChatPromptTemplate.from_template("{x}") | Chat()).invoke({"x": "cats"}, calls.config)
    assert calls.repeats == [None, (0, 1)]


def test_an_answer_from_the_cache_repeats_nothing(calls):
    model = Chat(cache=InMemoryCache())
    for _ in range(3):
        model.invoke("cats", calls.config)
    assert [step.cache_hit for step, _ in calls.seen()] == [False, True, True]
    assert calls.repeats == [None, None, None]


class Stubborn(Workflow):
    @step(retry_policy=retry_policy(wait=wait_fixed(0), stop=stop_after_attempt(3)))
    async def ask(self, event: StartEvent) -> StopEvent:
        answer = await FakeLLM().apredict(LlamaPrompt("Tell me of {x}."), x=event.x)
        if self.failures:
            self.failures -= 1
            raise ValueError("no JSON")
        return StopEvent(result=answer)


def test_a_workflow_that_tries_again_repeats_its_prompt(indexed):
    workflow = Stubborn()
    workflow.failures = 2

    async def run():
        return await workflow.run(x="cats")

    assert asyncio.run(run()) == "one two three"
    assert indexed.repeats == [None, (1, 1), (2, 2)]
    assert len(set(indexed.templates)) == 1


def test_a_model_that_wraps_its_own_methods_sends_its_prompt_once(indexed):
    Completing().chat([])
    Completing().predict(LlamaPrompt("{x}"), x="cats")
    assert indexed.repeats == [None, None]
