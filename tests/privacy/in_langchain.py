"""Every channel that LangChain and LangGraph have, filled."""

from __future__ import annotations

import contextlib
from typing import Any, TypedDict

import spanloom
from langchain.agents import create_agent
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from spanloom.content import Category as C

from tests.integrations.langchain.fakes import Chat
from tests.privacy.canaries import Canaries

NO_SCORES = "otlp openinference langsmith"


class InPieces(Chat):
    """Streams its answer three characters at a time, so that no canary comes whole."""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any) -> Any:
        said = str(self._next().content)
        for at in range(0, len(said), 3):
            yield ChatGenerationChunk(message=AIMessageChunk(said[at : at + 3]))


class Shelf(BaseRetriever):
    found: Any = ()
    error: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if self.error is not None:
            raise self.error
        return list(self.found)


class State(TypedDict, total=False):
    messages: list[Any]
    note: str


def run(c: Canaries, loom: spanloom.Loom, handler: Any) -> None:
    """Fill `c` and LangChain with canaries."""
    config = {
        "callbacks": [handler],
        "run_name": c("lc.run_name", C.NAMES),
        "tags": [c("lc.tag", C.TAGS)],
        "metadata": {
            "note": c("lc.metadata", C.METADATA),
            "nested": {"deep": [c("lc.metadata.nested", C.METADATA)]},
            "thread_id": c("lc.thread_id", C.IDENTITY),
        },
    }
    with spanloom.using(
        user_id=c("using.user_id", C.IDENTITY),
        tenant=c("using.tenant", C.IDENTITY),
        tags=[c("using.tag", C.TAGS)],
        metadata={"m": c("using.metadata", C.METADATA)},
        prompt=(c("using.prompt_name", C.NAMES), 3),
    ):
        for part in (_chat, _retrieval, _stream, _errors, _graph, _agent, _on_the_span):
            part(c, config, loom)


def _bytes(c: Canaries, channel: str) -> str:
    """A medium in base64, which goes nowhere."""
    return f"{c.word(channel)}AAAA"


def _history(c: Canaries) -> list[Any]:
    call = {"name": "look", "args": {"q": c("lc.history.args", C.TOOL_ARGUMENTS)}, "id": "call_0"}
    return [
        HumanMessage(
            [
                {"type": "text", "text": c("lc.user.part", C.USER_PROMPT)},
                {"type": "image_url", "image_url": {"url": f"https://x/{c.word('lc.user.image', C.USER_PROMPT)}.png"}},
            ],
            name=c.word("lc.user.name", (C.NAMES, C.USER_PROMPT)),
        ),
        HumanMessage(
            [
                {"type": "image", "base64": _bytes(c, "lc.user.bytes"), "mime_type": "image/png"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_bytes(c, 'lc.user.data_url')}"}},
                {"type": "input_image", "image_url": f"data:image/png;base64,{_bytes(c, 'lc.user.input_image')}"},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{_bytes(c, 'lc.user.file')}"}},
                {"type": "search_result", "content": c("lc.user.search_result", (C.DOCUMENTS, C.USER_PROMPT))},
            ]
        ),
        ChatMessage("hi", role=c.word("lc.user.role", (C.NAMES, C.USER_PROMPT))),
        AIMessage(
            [
                {"type": "server_tool_use", "input": c("lc.history.asked", (C.TOOL_ARGUMENTS, C.COMPLETION))},
                {"type": "web_search_tool_result", "content": c("lc.history.found", (C.TOOL_RESULTS, C.COMPLETION))},
                {"type": "image_generation_call", "result": _bytes(c, "lc.history.made")},
                {"type": "thinking", "thinking": c("lc.history.reasoning", C.REASONING)},
                {"type": "text", "text": c("lc.history.assistant", C.COMPLETION)},
            ],
            tool_calls=[call],
        ),
        ToolMessage(c("lc.history.tool", C.TOOL_RESULTS), tool_call_id="call_0"),
        ToolMessage(
            [{"type": "image", "base64": _bytes(c, "lc.history.tool.bytes"), "mime_type": "image/png"}],
            tool_call_id="call_0",
        ),
    ]


def _chat(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    prompt = ChatPromptTemplate(
        [
            ("system", c("lc.template.system", C.SYSTEM_PROMPT) + " {tone}"),
            MessagesPlaceholder("history"),
            ("human", "{question}"),
        ]
    )
    answer = AIMessage(
        [
            {"type": "thinking", "thinking": c("lc.answer.reasoning", C.REASONING)},
            {"type": "text", "text": c("lc.answer", C.COMPLETION)},
            {
                "type": "file_search_call",
                "results": [c("lc.answer.found", (C.TOOL_RESULTS, C.TOOL_ARGUMENTS, C.COMPLETION))],
            },
        ],
        tool_calls=[{"name": "look", "args": {"a": [{"b": c("lc.answer.args", C.TOOL_ARGUMENTS)}]}, "id": "call_1"}],
    )
    description = c("lc.bound.description", C.TOOL_DEFINITIONS)
    schema = {"type": "object", "properties": {"q": {"description": c("lc.bound.schema", C.TOOL_DEFINITIONS)}}}
    function = {"name": c.word("lc.bound.name", (C.NAMES, C.TOOL_DEFINITIONS)), "description": description}
    model = Chat(answers=[answer]).bind(
        tools=[{"type": "function", "function": {**function, "parameters": schema}}],
        stop=[c("lc.stop", C.NAMES, absent="")],
    )
    given = {
        "question": c("lc.question", C.USER_PROMPT, C.PROMPT_VARIABLES),
        "tone": c("lc.variable", C.PROMPT_VARIABLES, C.SYSTEM_PROMPT, C.USER_PROMPT),
        "history": _history(c),
    }
    (prompt | model).invoke(given, config)
    plain = {"messages": [{"role": "system", "content": c("lc.dict.system", (C.SYSTEM_PROMPT, C.USER_PROMPT))}]}
    RunnableLambda(lambda _: None).invoke(plain, config)
    pairs = [("system", c("lc.pair.system", (C.SYSTEM_PROMPT, C.USER_PROMPT)))]
    RunnableLambda(lambda _: None).invoke(
        {"messages": pairs, "deep": {"er": [c("lc.chain.in", C.USER_PROMPT)]}}, config
    )
    RunnableLambda(lambda _: {"a": [{"b": c("lc.chain.out", C.COMPLETION)}]}).invoke("x", config)
    docs = [Document(c("lc.chain.document", (C.DOCUMENTS, C.COMPLETION)))]
    RunnableLambda(lambda _: {"docs": docs}).invoke("x", config)
    Chat(answers=[AIMessage("ok")]).invoke([SystemMessage(c("lc.system", C.SYSTEM_PROMPT))], config)


def _retrieval(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    document = Document(
        c("lc.document", C.DOCUMENTS),
        metadata={
            "source": c("lc.document.metadata", C.DOCUMENTS),
            "in": {"ner": [c("lc.document.deep", C.DOCUMENTS)]},
        },
    )
    Shelf(found=[document]).invoke(c("lc.query", C.RETRIEVAL_QUERIES), config)


def _stream(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    model = InPieces(answers=[AIMessage(c("lc.streamed", C.COMPLETION))])
    list(model.stream("hi", config))
    list((model | RunnableLambda(lambda m: m)).stream("hi", config))


def _errors(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    def chained(_: Any) -> None:
        try:
            raise KeyError(c("lc.error.cause", C.EXCEPTION_TEXT))
        except KeyError as error:
            raise ValueError(c("lc.error.chain", C.EXCEPTION_TEXT)) from error

    def failing(q: str) -> str:
        raise ValueError(c("lc.error.tool", C.EXCEPTION_TEXT))

    tool = StructuredTool.from_function(failing, name="failing", description="fails")
    for attempt in (
        lambda: RunnableLambda(chained).invoke("x", config),
        lambda: Chat(error=ValueError(c("lc.error.model", C.EXCEPTION_TEXT))).invoke("x", config),
        lambda: Shelf(error=ValueError(c("lc.error.retriever", C.EXCEPTION_TEXT))).invoke("x", config),
        lambda: tool.invoke({"q": c("lc.error.args", C.TOOL_ARGUMENTS)}, config),
    ):
        with contextlib.suppress(ValueError):
            attempt()


def _graph(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    def ask(state: State) -> State:
        return {"note": interrupt(c("lg.interrupt"))}

    def node_fails(state: State) -> State:
        raise ValueError(c("lg.error.node", C.EXCEPTION_TEXT))

    name = c.word("lg.node", C.NAMES)
    graph = StateGraph(State).add_node(name, ask).add_edge(START, name).add_edge(name, END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    here = {**config, "configurable": {"thread_id": config["metadata"]["thread_id"]}}
    compiled.invoke({"note": c("lg.state", C.USER_PROMPT, C.COMPLETION)}, here)
    compiled.invoke(Command(resume=c("lg.resume", C.USER_PROMPT, C.COMPLETION)), here)
    broken = StateGraph(State).add_node("broken", node_fails).add_edge(START, "broken").compile()
    with contextlib.suppress(ValueError):
        broken.invoke({"note": "x"}, config)


def _agent(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    def look(q: str) -> str:
        return c("lc.tool.result", C.TOOL_RESULTS)

    name = c.word("lc.tool.name", C.NAMES)
    tool = StructuredTool.from_function(look, name=name, description=c("lc.tool.description", C.TOOL_DEFINITIONS))
    asks = AIMessage("", tool_calls=[{"name": name, "args": {"q": c("lc.tool.args", C.TOOL_ARGUMENTS)}, "id": "c1"}])
    agent = create_agent(
        Chat(answers=[asks, AIMessage(c("lc.agent.answer", C.COMPLETION))]),
        [tool],
        system_prompt=c("lc.agent.system", C.SYSTEM_PROMPT),
        name=c.word("lc.agent.name", C.NAMES),
    )
    said = {"messages": [{"role": "user", "content": c("lc.agent.question", C.USER_PROMPT)}]}
    agent.invoke(said, {k: v for k, v in config.items() if k != "run_name"})


def _on_the_span(c: Canaries, config: Any, loom: spanloom.Loom) -> None:
    def body(_: Any) -> None:
        span = trace.get_current_span()
        span.set_attribute("app.note", c("app.attribute", C.METADATA))
        span.set_attribute("app.list", [c("app.list", C.METADATA)])
        span.set_attribute("app.map", {"in": {"ner": c("app.mapping", C.METADATA)}})
        span.set_attribute("app.bytes", c("app.bytes", C.METADATA).encode())
        span.set_attribute("input.value", c("app.input_value", (C.USER_PROMPT, C.SYSTEM_PROMPT, C.COMPLETION,
            C.REASONING, C.TOOL_ARGUMENTS, C.TOOL_RESULTS, C.RETRIEVAL_QUERIES, C.DOCUMENTS, C.PROMPT_VARIABLES,
            C.TOOL_DEFINITIONS), absent="openinference phoenix"))  # there it is a step's own  # fmt: skip
        span.add_event(c("app.event.name", C.NAMES), {"detail": c("app.event", C.METADATA)})
        span.record_exception(ValueError(c("app.exception", C.EXCEPTION_TEXT)))
        span.set_status(Status(StatusCode.ERROR, c("app.status", C.EXCEPTION_TEXT)))
        dispatch_custom_event(c("lc.event.name", C.NAMES), {"x": c("lc.event.data")})
        loom.score(
            c("score.name", C.NAMES),
            c("score.label", C.NAMES),
            comment=c("score.comment", (C.SCORE_COMMENTS, C.NAMES), absent=NO_SCORES),
        )

    RunnableLambda(body).invoke("x", config)
