"""Steps with everything in them, in every kind. `CANARY` marks each piece of content, and nothing else."""

from __future__ import annotations

import dataclasses
import time

from spanloom.identity import Identity, Prompt
from spanloom.step import (
    FIRST_TOKEN,
    PROMPT_REPEATED,
    TOOL_CALL_DISPATCHED,
    Content,
    Deferred,
    Document,
    Event,
    Kind,
    Media,
    Message,
    OtherPart,
    Outcome,
    Reasoning,
    Repeats,
    Step,
    Text,
    ToolCall,
    ToolCallResponse,
    ToolDefinition,
)
from spanloom.usage import Usage

CANARY = "c4nary"
START = 1_763_800_000_000_000_000
WHO = Identity(
    user_id="u1",
    session_id="s1",
    tags=("beta", "eu"),
    metadata={"feature": f"search {CANARY}", "turn": 3, "nested": {"deep": [CANARY]}},
    tenant="acme",
    prompt=Prompt("rag", 3),
)


def _step(kind, name, **fields):
    content = fields.pop("content", {})
    ended = {"start_ns": START, "end_ns": START + 1_500_000_000, "outcome": Outcome.OK, "identity": WHO}
    return Step(f"run-{name}", kind, name, content=Content(**content), **{**ended, **fields})


def llm():
    return _step(
        Kind.LLM,
        "ChatOpenAI",
        provider="azure.ai.openai",
        request_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        response_id="chatcmpl-1",
        finish_reasons=("tool_calls",),
        parameters={"temperature": 0.2, "max_tokens": 100, "stop_sequences": ["END"], "seed": 7, "choice_count": 1},
        usage=Usage(100, 50, 30, 10, 20, 4, 2),
        streaming=True,
        first_token_ns=START + 250_000_000,
        server_address="127.0.0.1",
        server_port=8080,
        graph={"node": "agent", "step": 2},
        repeats=Repeats(2, 5),
        events=[
            Event(PROMPT_REPEATED, START, {"trace": 2, "minute": 5}),
            Event(FIRST_TOKEN, START + 250_000_000),
            Event(TOOL_CALL_DISPATCHED, START + 1_400_000_000, {"name": "search", "id": "call_1"}),
        ],
        content={
            "input_messages": (
                Message("system", (Text(f"Be brief. {CANARY}"),)),
                Message(
                    "user",
                    (Text(f"What is this? {CANARY}"), Media("image", "image/png", f"https://x/{CANARY}.png")),
                    "Ann",
                ),
                Message("assistant", (ToolCall("search", {"query": f"this {CANARY}"}, "call_0"),)),
                Message("tool", (ToolCallResponse(f"found {CANARY}", "call_0"),)),
            ),
            "output_messages": Deferred(
                lambda: (
                    Message(
                        "assistant",
                        (
                            Reasoning(f"hmm {CANARY}"),
                            Text(f"A cat. {CANARY}"),
                            ToolCall("search", {"query": f"cat {CANARY}"}, "call_1"),
                            OtherPart("server_tool_call", {"code": CANARY}),
                        ),
                        finish_reason="tool_calls",
                    ),
                )
            ),
            "tool_definitions": (ToolDefinition("search", f"Looks up. {CANARY}", {"type": "object", "title": CANARY}),),
            "prompt_variables": {"question": CANARY},
            "template": Deferred(
                lambda: (
                    Message("system", (Text(f"Be brief. {CANARY}"),)),
                    Message("user", (Text("What is this? {question}"),)),
                )
            ),
        },
    )


def completion():
    return _step(
        Kind.LLM,
        "OpenAI",
        provider="openai",
        request_model="gpt-3.5-turbo-instruct",
        completion=True,
        usage=Usage(5, 7),
        content={
            "input_messages": (Message("user", (Text(f"Once {CANARY}"),)),),
            "output_messages": (Message("assistant", (Text(f"upon {CANARY}"),)),),
        },
    )


def tool():
    return _step(
        Kind.TOOL,
        "search",
        tool_name="search",
        tool_description=f"Looks up. {CANARY}",
        tool_call_id="call_1",
        content={"arguments": {"query": CANARY}, "result": f"found {CANARY}"},
    )


def retriever():
    return _step(
        Kind.RETRIEVER,
        "BM25Retriever",
        data_source_id="docs",
        top_k=2,
        document_count=2,
        content={
            "query": f"cats {CANARY}",
            "documents": (
                Document(f"Cats purr. {CANARY}", "d1", 0.9, {"source": f"a.md {CANARY}"}),
                Document(f"Dogs bark. {CANARY}", None, None, {"embedding": [0.1, 0.2, 0.3]}),
            ),
        },
    )


def reranker():
    return _step(
        Kind.RERANKER,
        "LLMRerank",
        request_model="rerank-v3",
        top_k=1,
        document_count=1,
        content={"query": f"cats {CANARY}", "documents": (Document(f"Cats purr. {CANARY}", "d1", 0.99),)},
    )


def embedding():
    return _step(
        Kind.EMBEDDING,
        "OpenAIEmbedding",
        provider="openai",
        request_model="text-embedding-3-small",
        embedding_count=2,
        embedding_dimension=1536,
        usage=Usage(input_tokens=12, output_tokens=0),
        content={"input": [f"first {CANARY}", f"second {CANARY}"]},
    )


def agent():
    return _step(
        Kind.AGENT,
        "LangGraph",
        agent_name="support",
        provider="openai",
        request_model="gpt-4o-mini",
        usage=Usage(999, 999),
        content={
            "input_messages": (Message("user", (Text(f"Help {CANARY}"),)),),
            "output_messages": (Message("assistant", (Text(f"Done {CANARY}"),)),),
        },
    )


def workflow():
    return _step(
        Kind.WORKFLOW,
        "RagWorkflow.run",
        workflow_name="rag",
        outcome=Outcome.INTERRUPTED,
        content={"input": {"question": CANARY}, "output": None},
    )


def chain():
    return _step(Kind.CHAIN, "RunnableSequence", content={"input": {"q": CANARY}, "output": CANARY})


def error():
    return _step(
        Kind.TOOL,
        "lookup",
        tool_name="lookup",
        outcome=Outcome.ERROR,
        error_type="ValueError",
        content={
            "arguments": {"id": CANARY},
            "error_message": f"no such id {CANARY}",
            "error_stack": f'Traceback (most recent call last):\n  File "a.py"\nValueError: no such id {CANARY}\n',
        },
    )


ALL = {f.__name__: f for f in (llm, completion, tool, retriever, reranker, embedding, agent, workflow, chain, error)}


def trace(loom):
    """Record every sample as one trace through `loom`, just now: a chain with all the others below it."""
    recorder = loom.recorder
    begun = time.time_ns() - 2_000_000_000
    top = dataclasses.replace(chain(), run_id="top", name="Top", identity=Identity(), start_ns=begun, outcome=None)
    recorder.open(top)
    for make in ALL.values():
        sample = make()
        sample.start_ns = begun
        if sample.first_token_ns is not None:
            sample.first_token_ns += begun - START
        for event in sample.events:
            event.time_ns += begun - START
        outcome, sample.outcome = sample.outcome, None
        recorder.open(sample, parent="top")
        recorder.close(sample.run_id, outcome, end_ns=begun + 1_500_000_000)
    recorder.close("top")
