"""What a step carries: models, tokens, tools, documents, identity; and what it survives."""

from __future__ import annotations

import asyncio
import math

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from spanloom import using
from spanloom.step import Kind, OtherPart, Reasoning, Step, Text, ToolCall
from spanloom_langchain import trace_embeddings
from spanloom_langchain.messages import message_of
from spanloom_langchain.results import note_result, request_parameters
from spanloom_langchain.tools import tools_of

from tests.integrations.langchain.fakes import Chat, Shelf, call, search


def test_a_model_step_tells_model_usage_finish_and_tool_calls(traced):
    Chat(answers=[call("search", q="x")]).invoke("hi", traced.config)
    traced.flush()
    step = traced.memory.step("Chat")
    assert (step.request_model, step.response_model) == ("fake-1", "fake-1-0601")
    assert step.finish_reasons == ("tool_calls",)
    assert (step.usage.input_tokens, step.usage.output_tokens) == (20, 5)
    assert (step.usage.cache_read_tokens, step.usage.reasoning_tokens) == (8, 1)
    assert [(e.name, e.data["name"]) for e in step.events] == [("tool_call_dispatched", "search")]
    seen = traced.memory.visible("Chat")
    assert seen.input_messages[0].parts == (Text("hi"),)
    assert seen.output_messages[0].parts == (ToolCall("search", {"q": "x"}, "call_0_search"),)


def test_a_stream_tells_its_first_token_and_the_usage_of_its_last_chunk(traced):
    list(Chat().stream("hi", traced.config))
    traced.flush()
    step = traced.memory.step("Chat")
    assert step.streaming
    assert step.start_ns <= step.first_token_ns <= step.end_ns
    assert [e.name for e in step.events] == ["first_token_received"]
    assert step.usage.input_tokens == 20


def test_an_answer_from_langchains_cache_says_so_and_costs_nothing(traced):
    model = Chat(cache=InMemoryCache())
    model.invoke("hi", traced.config)
    model.invoke("hi", traced.config)
    traced.flush()
    first, second = traced.memory.steps
    assert (first.cache_hit, bool(first.usage)) == (False, True)
    assert (second.cache_hit, second.usage) == (True, None)


BEDROCK_METRICS = {"inputTokenCount": 5, "outputTokenCount": 2, "cacheReadInputTokenCount": 4, "invocationLatency": 900}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"llm_output": {"token_usage": {"prompt_tokens": 9, "completion_tokens": 2}}}, (9, 2, None)),
        ({"llm_output": {"usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 4}}}, (9, 2, 4)),
        ({"metadata": {"usage": {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokens": 4}}}, (9, 2, 4)),
        ({"metadata": {"amazon-bedrock-invocationMetrics": BEDROCK_METRICS}}, (9, 2, 4)),
        ({"metadata": {"usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 2}}}, (9, 2, None)),
        ({"metadata": {"token_usage": {"prompt_tokens": 9, "completion_tokens": 2}}}, (9, 2, None)),
        ({"metadata": {"prompt_eval_count": 9, "eval_count": 2}}, (9, 2, None)),
        ({}, None),
        ({"llm_output": {"token_usage": {}}}, None),
        ({"llm_output": {"token_usage": {"prompt_tokens": math.nan}}}, None),
    ],
)
def test_usage_is_found_wherever_providers_put_it_and_missing_stays_missing(result, expected):
    message = AIMessage("x", response_metadata=result.get("metadata", {}))
    step = Step("r", Kind.LLM, "m")
    note_result(step, LLMResult(generations=[[ChatGeneration(message=message)]], llm_output=result.get("llm_output")))
    usage = step.usage and (step.usage.input_tokens, step.usage.output_tokens, step.usage.cache_read_tokens)
    assert usage == expected


def test_a_result_without_generations_or_message_is_read_as_far_as_it_goes():
    step = Step("r", Kind.LLM, "m")
    assert tuple(note_result(step, LLMResult(generations=[]))) == ()
    note_result(step, LLMResult(generations=[[Generation(text="x", generation_info={"finish_reason": "length"})]]))
    assert step.finish_reasons == ("length",)


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [("completed", None, "completed"), ("incomplete", {"reason": "max_output_tokens"}, "max_output_tokens")],
)
def test_one_of_openais_responses_tells_why_it_ended(status, details, reason):
    said = {"object": "response", "status": status, "incomplete_details": details, "model_name": "gpt-5"}
    step = Step("r", Kind.LLM, "m")
    message = AIMessage("x", response_metadata=said)
    note_result(step, LLMResult(generations=[[ChatGeneration(message=message)]]))
    assert step.finish_reasons == (reason,)


@pytest.mark.parametrize(
    ("beside", "part"),
    [
        ({"function_call": {"name": "search", "arguments": '{"q": "x"}'}}, ToolCall("search", '{"q": "x"}')),
        ({"refusal": "I will not."}, OtherPart("refusal", {"refusal": "I will not."})),
    ],
)
def test_what_openais_chats_answer_beside_their_content_is_part_of_the_answer(traced, beside, part):
    Chat(answers=[AIMessage("", additional_kwargs=beside)]).invoke("x", traced.config)
    traced.flush()
    assert traced.memory.visible("Chat").output_messages[0].parts == (part,)


def test_sampling_parameters_have_the_conventions_names():
    params = {"temperature": 0.2, "max_completion_tokens": 9, "stop": ["a"], "seed": 3, "top_p": None, "stream": True}
    assert request_parameters(params, {"ls_temperature": 0.9}) == {
        "temperature": 0.2,
        "max_tokens": 9,
        "stop_sequences": ["a"],
        "seed": 3,
    }


def test_documents_have_id_score_and_metadata(traced):
    Shelf().invoke("q", traced.config)
    traced.flush()
    seen = traced.memory.visible("Shelf")
    assert seen.query == "q"
    assert [(d.id, d.score, d.metadata["source"]) for d in seen.documents] == [("d0", 0.9, "s0"), ("d1", 0.8, "s1")]
    assert traced.memory.step("Shelf").document_count == 2


def test_a_tool_has_its_description_arguments_and_result(traced):
    search.invoke({"q": "x"}, traced.config)
    traced.flush()
    step, seen = traced.memory.step("search"), traced.memory.visible("search")
    assert (step.tool_name, step.tool_description) == ("search", "Search the shelf.")
    assert (seen.arguments, seen.result) == ({"q": "x"}, "found x")


def test_embeddings_are_steps_under_the_current_one_without_their_vectors(traced):
    embeddings = trace_embeddings(DeterministicFakeEmbedding(size=7))
    assert trace_embeddings(embeddings) is embeddings

    async def body(x):
        embeddings.embed_query(x)
        return len(await embeddings.aembed_documents([x, x]))

    asyncio.run(RunnableLambda(body, name="root").ainvoke("q", traced.config))
    assert traced.tree() == [
        "chain:root",
        "  embedding:DeterministicFakeEmbedding.embed_query",
        "  embedding:DeterministicFakeEmbedding.aembed_documents",
    ]
    step = traced.memory.steps[1]
    assert (step.embedding_count, step.embedding_dimension) == (2, 7)


def test_identity_comes_from_metadata_tags_and_using_and_stands_on_every_step(traced):
    chain = ChatPromptTemplate.from_messages([("human", "{q}")]) | Chat()
    with using(tenant="acme", tags=["beta"], metadata={"feature": "search"}, prompt=("rag", 3)):
        chain.invoke(
            {"q": "x"}, {**traced.config, "metadata": {"user_id": "u", "session_id": "s", "k": 1}, "tags": ["a"]}
        )
    traced.flush()
    for step in traced.memory.steps:
        who = step.identity
        assert (who.user_id, who.session_id, who.tenant) == ("u", "s", "acme")
        assert who.tags == ("beta", "a")
        assert who.metadata == {"feature": "search", "k": 1}
        assert (who.prompt.name, who.prompt.version) == ("rag", 3)


def test_content_blocks_become_parts_and_media_keep_no_bytes():
    message = message_of(
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
                {"type": "strange", "x": 1},
            ]
        )
    )
    thinking, text, image, file, other = message.parts
    assert thinking == Reasoning("hm")
    assert text == Text("hi")
    assert (image.mime_type, image.uri, image.size) == ("image/png", None, 3)
    assert (file.mime_type, file.uri, file.size) == ("application/pdf", None, 3)
    assert (other.type, other.value) == ("strange", {"x": 1})


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (AIMessage([]), {"role": "assistant", "content": []}),
        ({"role": "user", "content": []}, {"role": "user", "content": []}),
        (("user", []), ["user", []]),
    ],
    ids=["message", "dict", "pair"],
)
def test_a_message_without_a_block_of_content_is_shown_as_it_is(traced, said, shown):
    RunnableLambda(lambda given: given, name="echo").invoke([said], traced.config)
    traced.flush()
    seen = traced.memory.visible("echo")
    assert (seen.input, seen.output) == ([shown], [shown])


def test_tool_definitions_are_read_in_every_shape():
    openai = {"type": "function", "function": {"name": "a", "description": "d", "parameters": {"type": "object"}}}
    anthropic = {"name": "b", "input_schema": {"type": "object"}}
    a, b, c, d = tools_of([openai, anthropic, "c", search])
    assert (a.name, a.description, a.parameters) == ("a", "d", {"type": "object"})
    assert (b.name, b.parameters) == ("b", {"type": "object"})
    assert (c.name, d.name) == ("c", "search")


def test_tools_that_differ_in_anything_are_told_apart_and_the_same_ones_are_read_once():
    def written(default):
        return {"name": "a", "input_schema": {"properties": {"x": {"default": default}}}}

    first = tools_of([written(True), written(1), written(1.0), written("1"), written(None), written({1, 2})])
    assert [repr(tool.parameters["properties"]["x"]["default"]) for tool in first[:5]] == [
        "True", "1", "1.0", "'1'", "None"
    ]  # fmt: skip
    again = tools_of([written(True), written(1), written(1.0), written("1"), written(None)])
    assert all(one is other for one, other in zip(first[:5], again, strict=True))


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def circular():
    value: dict = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "value",
    [
        None, circular(), Hostile(), {1: 2, None: 3}, b"\xff", "\ud800", math.nan, "x" * 5_000_000, [Hostile()],
        {"k": {Hostile(): 1}},
    ],
    ids=["None", "circular", "unprintable", "keys", "bytes", "surrogate", "nan", "5 MB", "list", "hostile key"],
)  # fmt: skip
def test_whatever_goes_in_and_out_the_step_ends_and_the_application_notices_nothing(traced, value):
    assert RunnableLambda(lambda _: value, name="root").invoke(value, traced.config) is value
    traced.flush()
    assert traced.outcomes() == {"root": "ok"}
    traced.memory.visible("root")
    assert not traced.loom.stats()["swallowed"]


class Silent(BaseChatModel):
    """Answers with what no model should."""

    answer: object = None

    @property
    def _llm_type(self) -> str:
        return "silent"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.answer))])


@pytest.mark.parametrize("answer", ["", [], [{}], [{"type": "text"}], [{"type": None, "x": b"\xff"}], "\ud800"])
def test_strange_answers_of_models_are_read_as_far_as_they_go(traced, answer):
    Silent(answer=answer).invoke([HumanMessage("x")], traced.config)
    traced.flush()
    traced.memory.visible("Silent")
    assert traced.outcomes() == {"Silent": "ok"}


class Odd(Chat):
    """Its provider, parameters and token counts are what nobody would expect there."""

    value: object = None

    def _get_ls_params(self, stop=None, **kwargs):
        return {"ls_model_type": "chat", "ls_provider": self.value, "ls_stop": self.value, "ls_model_name": self.value}

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        answer = AIMessage("hi", usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2})
        counts = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), self.value)
        answer.usage_metadata |= {**counts, "input_token_details": {"cache_read": self.value}}
        answer.response_metadata = {"model_name": self.value, "finish_reason": self.value}
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Someone:
    def __str__(self):
        raise ValueError("no")


@pytest.mark.parametrize(
    "value",
    [None, True, -1, 10**30, math.inf, math.nan, "7", b"x", [1], {"a": 1}, object(), Someone(), "\ud800"],
    ids=lambda value: type(value).__name__,
)
def test_an_odd_value_costs_itself_and_not_the_step(traced, value):
    Odd(value=value).invoke("hi", traced.config)
    about = {"user_id": value, "session_id": value, "tenant": value, "x": value}
    RunnableLambda(lambda x: x, name="chain").invoke("hi", {**traced.config, "metadata": about, "tags": ["t", value]})
    traced.flush()
    assert traced.memory.step("Odd").kind is Kind.LLM
    assert traced.memory.visible("Odd").output_messages[0].parts == (Text("hi"),)
    assert "t" in traced.memory.step("chain").identity.tags
