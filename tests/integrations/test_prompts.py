"""A managed prompt's name and version reach the generation that uses it, and no other, in both frameworks."""

from __future__ import annotations

import asyncio
import json

import pytest
import sinks
import spanloom
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langfuse.api import Prompt_Chat, Prompt_Text
from langfuse.model import ChatPromptClient, TextPromptClient
from llama_index.core.llms import MockLLM
from llama_index.core.prompts import PromptTemplate
from opentelemetry.sdk.trace import TracerProvider
from spanloom import ContentPolicy, Langfuse, Otlp, using
from spanloom.destinations.destination import visible
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_langchain import prompt_from_langfuse as to_langchain
from spanloom_llama_index import instrument, uninstrument
from spanloom_llama_index import prompt_from_langfuse as to_llama_index


def text_prompt(text='Answer {{ question }} as {"a": 1}.', name="rag", version=3, **settings):
    return TextPromptClient(
        Prompt_Text(name=name, version=version, prompt=text, config={}, labels=[], tags=[], type="text"), **settings
    )


def chat_prompt(*messages, name="support", version=7):
    return ChatPromptClient(
        Prompt_Chat(name=name, version=version, prompt=list(messages), config={}, labels=[], tags=[], type="chat")
    )


CHAT = (
    {"type": "chatmessage", "role": "system", "content": "You are {{tone}}. Use {json}."},
    {"type": "placeholder", "name": "history"},
    {"type": "chatmessage", "role": "user", "content": "{{question}}"},
)


class Wire:
    def __init__(self):
        self.langfuse, self.otlp, self.memory = sinks.HttpSink(), sinks.HttpSink(), Memory()
        self.loom = spanloom.configure(
            Langfuse("pk-lf-1", "sk-lf-1", self.langfuse.url),
            Otlp(self.otlp.url, content=ContentPolicy.full()),
            self.memory,
            tracer_provider=TracerProvider(shutdown_on_exit=False),
        )
        self.config = {"callbacks": [SpanloomCallbackHandler(self.loom)]}

    def prompts(self):
        """`step: (name, version)` of each model's step."""
        assert self.loom.flush()
        return [
            (p.name, p.version) if (p := step.identity.prompt) else None
            for step in self.memory.steps
            if step.kind == "llm"
        ]


@pytest.fixture
def wire():
    with strict():
        wire = Wire()
        yield wire
        wire.loom.shutdown()
        wire.langfuse.close()
        wire.otlp.close()


def model(*answers):
    return GenericFakeChatModel(messages=iter(answers or ["Fine."] * 5))


def test_using_a_prompt_reaches_the_generation_in_both_destinations(wire):
    with using(prompt=("rag", 3)):
        (ChatPromptTemplate.from_template("{q}") | model()).invoke({"q": "?"}, wire.config)
    assert wire.loom.flush()
    generation = wire.langfuse.named("GenericFakeChatModel").attributes
    assert generation["langfuse.observation.prompt.name"] == "rag"
    assert generation["langfuse.observation.prompt.version"] == 3
    assert not any(key.startswith("gen_ai.prompt") for key in generation)
    assert "langfuse.observation.prompt.name" not in wire.langfuse.named("RunnableSequence").attributes
    copy = wire.otlp.named("GenericFakeChatModel").attributes
    assert (copy["gen_ai.prompt.name"], copy["gen_ai.prompt.version"]) == ("rag", "3")


def test_a_langfuse_prompt_in_langchain_says_what_it_said_and_keeps_the_link(wire):
    chain = to_langchain(text_prompt()) | model() | StrOutputParser()
    chain.invoke({"question": "why"}, wire.config)
    assert wire.prompts() == [("rag", 3)]
    generation = wire.langfuse.named("GenericFakeChatModel").attributes
    (message,) = json.loads(generation["langfuse.observation.input"])
    assert message["content"] == 'Answer why as {"a": 1}.'
    assert generation["langfuse.observation.prompt.version"] == 3
    assert json.loads(generation["langfuse.observation.metadata.prompt_variables"]) == {"question": "why"}
    assert json.loads(wire.otlp.named("GenericFakeChatModel").attributes["spanloom.prompt.variables"]) == {
        "question": "why"
    }


def test_a_chat_prompt_with_a_placeholder(wire):
    prompt = to_langchain(chat_prompt(*CHAT))
    said = prompt.invoke({"tone": "kind", "history": [HumanMessage("Hi")], "question": "Why {so}?"}).to_messages()
    assert [(m.type, m.content) for m in said] == [
        ("system", "You are kind. Use {json}."), ("human", "Hi"), ("human", "Why {so}?"),
    ]  # fmt: skip
    (prompt | model()).invoke({"tone": "kind", "history": [], "question": "?"}, wire.config)
    assert wire.prompts() == [("support", 7)]


def test_it_streams_with_its_link(wire):
    list((to_langchain(text_prompt()) | model()).stream({"question": "why"}, wire.config))
    assert wire.prompts() == [("rag", 3)]


@pytest.mark.parametrize(
    ("metadata", "linked"),
    [
        ({"langfuse_prompt": text_prompt()}, ("rag", 3)),
        ({"prompt_name": "mine", "prompt_version": "v2"}, ("mine", "v2")),
        ({"lc_hub_owner": "me", "lc_hub_repo": "hubbed", "lc_hub_commit_hash": "abc"}, ("hubbed", "abc")),
        ({"langfuse_prompt": text_prompt(is_fallback=True)}, None),
        ({"langfuse_prompt": ("a", 1, "b")}, None),
        ({"langfuse_prompt": 7}, None),
        ({"other": 1}, None),
    ],
)
def test_the_metadata_of_a_prompt_names_it(wire, metadata, linked):
    prompt = ChatPromptTemplate([("user", "{q}")], metadata=metadata)
    (prompt | model()).invoke({"q": "?"}, wire.config)
    assert wire.prompts() == [linked]


def test_the_metadata_of_the_call_names_it_too(wire):
    model().invoke("?", {**wire.config, "metadata": {"langfuse_prompt": text_prompt()}})
    assert wire.prompts() == [("rag", 3)]


def test_a_prompt_is_linked_to_the_generation_it_feeds_and_to_no_later_one(wire):
    first = to_langchain(text_prompt("{{q}}", "first", 1))
    second = ChatPromptTemplate.from_template("{text}")
    chain = first | model() | StrOutputParser() | (lambda text: {"text": text}) | second | model()
    chain = chain | StrOutputParser() | model()
    chain.invoke({"q": "?"}, wire.config)
    assert wire.prompts() == [("first", 1), None, None]


def test_a_fallback_has_the_prompt_of_the_model_it_stands_in_for(wire):
    def fails(_):
        raise ValueError("no")

    class Broken(GenericFakeChatModel):
        def _generate(self, *args, **kwargs):
            raise ValueError("no")

    broken = Broken(messages=iter([]))
    (to_langchain(text_prompt()) | broken.with_fallbacks([model()])).invoke({"question": "?"}, wire.config)
    assert wire.prompts() == [("rag", 3), ("rag", 3)]


def test_two_requests_at_once_keep_their_prompts_apart(wire):
    chains = [to_langchain(text_prompt("{{q}}", f"p{n}", n)) | model() for n in range(4)]
    RunnableLambda(lambda q: [c.invoke({"q": q}) for c in chains]).batch(["a", "b", "c"], wire.config)
    assert sorted(wire.prompts()) == sorted((f"p{n}", n) for n in range(4) for _ in range(3))


def test_of_several_prompts_beside_a_generation_the_one_is_linked_that_it_was_given(wire):
    one, two = to_langchain(text_prompt("1 {{q}}", "one", 1)), to_langchain(text_prompt("2 {{q}}", "two", 2))
    plain = ChatPromptTemplate.from_template("plain {q}")

    async def node(q):
        rendered = asyncio.Barrier(3)

        async def ask(prompt, q):
            value = await prompt.ainvoke({"q": q})
            await rendered.wait()
            await model().ainvoke(value)

        await asyncio.gather(ask(one, f"{q}1"), ask(plain, f"{q}2"), ask(two, f"{q}3"))

    asyncio.run(RunnableLambda(node).ainvoke("q", wire.config))
    assert sorted(wire.prompts(), key=str) == [("one", 1), ("two", 2), None]
    asked = [
        (prompt.name, visible(ended, ContentPolicy.full()).prompt_variables)
        for ended in wire.memory.spans
        if ended.step.kind == "llm" and (prompt := ended.step.identity.prompt)
    ]
    assert sorted(asked, key=str) == [("one", {"q": "q1"}), ("two", {"q": "q3"})]


def test_a_prompt_that_feeds_two_models_is_linked_to_both(wire):
    (to_langchain(text_prompt()) | {"a": model(), "b": model()}).invoke({"question": "?"}, wire.config)
    assert wire.prompts() == [("rag", 3)] * 2


@pytest.fixture
def indexed(wire):
    instrument(wire.loom)
    yield wire
    uninstrument()


def test_a_langfuse_prompt_in_llama_index_keeps_the_link(indexed):
    answer = MockLLM().predict(to_llama_index(text_prompt()), question="why")
    assert answer == 'Answer why as {"a": 1}.'
    MockLLM().complete("Something else")
    assert indexed.prompts() == [("rag", 3), None]
    generation = next(
        s for s in indexed.langfuse.spans if s.attributes.get("langfuse.observation.prompt.name")
    ).attributes
    assert generation["langfuse.observation.prompt.version"] == 3
    assert json.loads(generation["langfuse.observation.metadata.prompt_variables"]) == {"question": "why"}


def test_a_chat_prompt_and_one_in_parts_in_llama_index(indexed):
    prompt = to_llama_index(chat_prompt(CHAT[0], CHAT[2])).partial_format(tone="kind")
    said = prompt.format_messages(question="?")
    assert [(m.role.value, m.content) for m in said] == [("system", "You are kind. Use {json}."), ("user", "?")]
    list(MockLLM().stream(prompt, question="?"))
    assert indexed.prompts() == [("support", 7)]
    with pytest.raises(ValueError, match="placeholder"):
        to_llama_index(chat_prompt(*CHAT))


def test_a_query_engine_with_a_langfuse_prompt(indexed):
    from llama_index.core import Document, SummaryIndex

    template = to_llama_index(text_prompt("{{context_str}} {{query_str}}", "qa", 2))
    index = SummaryIndex.from_documents([Document(text="Open until five.")])
    index.as_query_engine(llm=MockLLM(), text_qa_template=template).query("When?")
    assert indexed.prompts() == [("qa", 2)]


def test_the_metadata_of_a_llama_index_template_names_it(indexed):
    MockLLM().predict(PromptTemplate("{q}", metadata={"prompt_name": "mine", "prompt_version": 4}), q="?")
    assert indexed.prompts() == [("mine", 4)]
