"""Every channel that LlamaIndex has, filled."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import spanloom
from llama_index.core import Settings
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from llama_index_instrumentation.dispatcher import instrument_tags
from spanloom.content import Category as C

from tests.integrations.llama_index.fakes import FakeLLM, embedding, says
from tests.privacy.canaries import Canaries


class Shelf(BaseRetriever):
    def __init__(self, nodes: Any, error: Exception | None = None) -> None:
        super().__init__()
        self._nodes, self._error = nodes, error

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._error is not None:
            raise self._error
        return list(self._nodes)


class Hop(Event):
    note: str
    chat: list[ChatMessage]
    blocks: list[Any]


class TwoSteps(Workflow):
    c: Any = None

    @step
    async def first(self, ev: StartEvent) -> Hop:
        said = [ChatMessage(role="system", content=self.c("li.event.system", (C.SYSTEM_PROMPT, C.USER_PROMPT),
            (C.SYSTEM_PROMPT, C.COMPLETION)))]  # fmt: skip

        def beside(category: C) -> list[tuple[C, ...]]:
            return [(category, C.USER_PROMPT), (category, C.COMPLETION)]

        blocks = [
            ThinkingBlock(content=self.c("li.event.reasoning", *beside(C.REASONING))),
            ToolCallBlock(tool_name="look", tool_kwargs={"q": self.c("li.event.args", *beside(C.TOOL_ARGUMENTS))}),
            ImageBlock(url=f"data:image/png;base64,{self.c.word('li.event.bytes')}"),
        ]
        return Hop(note=self.c("li.event", C.USER_PROMPT, C.COMPLETION), chat=said, blocks=blocks)

    @step
    async def last(self, ev: Hop) -> StopEvent:
        return StopEvent(result={"answer": self.c("li.workflow.result", C.COMPLETION)})


def run(c: Canaries, loom: spanloom.Loom) -> None:
    """Fill `c` and LlamaIndex with canaries."""
    before = Settings._llm, Settings._embed_model
    Settings.llm, Settings.embed_model = FakeLLM(), embedding()
    tags = {
        "user_id": c("li.user", C.IDENTITY),
        "tags": [c("li.tag", C.TAGS)],
        "extra": c("li.metadata", C.METADATA),
    }
    try:
        with instrument_tags(tags):
            _chat(c)
            _retrieval(c)
            _embeddings(c)
            _errors(c)
            asyncio.run(_workflows(c))
    finally:
        Settings._llm, Settings._embed_model = before


def _chat(c: Canaries) -> None:
    llm = FakeLLM(answers=[says(c("li.answer", C.COMPLETION), look={"q": c("li.answer.args", C.TOOL_ARGUMENTS)})])
    llm.chat(
        [
            ChatMessage(role="system", content=c("li.system", C.SYSTEM_PROMPT)),
            ChatMessage(
                role="user",
                blocks=[
                    TextBlock(text=c("li.user.text", C.USER_PROMPT)),
                    ImageBlock(url=f"https://x/{c.word('li.user.image', C.USER_PROMPT)}.png"),
                ],
            ),
            ChatMessage(
                role="assistant",
                blocks=[
                    ThinkingBlock(content=c("li.history.reasoning", C.REASONING)),
                    TextBlock(text=c("li.history.assistant", C.COMPLETION)),
                ],
            ),
            ChatMessage(
                role="tool", content=c("li.history.tool", C.TOOL_RESULTS), additional_kwargs={"tool_call_id": "t"}
            ),
        ],
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": c("li.bound.description", C.TOOL_DEFINITIONS),
                    "parameters": {"title": c("li.bound.schema", C.TOOL_DEFINITIONS)},
                },
            }
        ],
    )
    FakeLLM(answers=[says(c("li.completed", C.COMPLETION))]).complete(c("li.prompt", C.USER_PROMPT))
    streamed = FakeLLM(answers=[says(c("li.streamed", C.COMPLETION))]).stream_chat([ChatMessage("hi")])
    list(streamed)
    template = PromptTemplate(
        c("li.template", C.USER_PROMPT) + " {topic}",
        metadata={"langfuse_prompt": {"name": c("li.prompt_name", C.NAMES), "version": 2}},
    )
    FakeLLM(answers=[says("ok")]).predict(template, topic=c("li.variable", C.PROMPT_VARIABLES, C.USER_PROMPT))
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[ChatMessage(role="assistant", content=c("li.memory", C.COMPLETION))]
    )
    engine = SimpleChatEngine.from_defaults(
        llm=FakeLLM(answers=[says(c("li.chat.answer", C.COMPLETION))]), memory=memory
    )
    engine.chat(c("li.chat.question", C.USER_PROMPT))


def _retrieval(c: Canaries) -> None:
    node = TextNode(
        text=c("li.node", C.DOCUMENTS, C.USER_PROMPT),  # the synthesizer puts it into the model's prompt
        metadata={"file": c("li.node.metadata", C.DOCUMENTS, C.USER_PROMPT)},
    )
    engine = RetrieverQueryEngine.from_args(
        Shelf([NodeWithScore(node=node, score=0.5)]), llm=FakeLLM(answers=[says(c("li.query.answer", C.COMPLETION))])
    )
    engine.query(c("li.query", C.RETRIEVAL_QUERIES, C.USER_PROMPT))
    alone = TextNode(text=c("li.node.alone", C.DOCUMENTS), metadata={"k": c("li.node.alone.metadata", C.DOCUMENTS)})
    Shelf([NodeWithScore(node=alone)]).retrieve(c("li.retrieved", C.RETRIEVAL_QUERIES))


def _embeddings(c: Canaries) -> None:
    embedding().get_text_embedding_batch([c("li.embedded", (C.RETRIEVAL_QUERIES, C.DOCUMENTS))])


def _errors(c: Canaries) -> None:
    def failing(q: str) -> str:
        raise ValueError(c("li.error.tool", C.EXCEPTION_TEXT))

    for attempt in (
        lambda: FakeLLM(error=ValueError(c("li.error.model", C.EXCEPTION_TEXT))).chat([ChatMessage("hi")]),
        lambda: Shelf([], ValueError(c("li.error.retriever", C.EXCEPTION_TEXT))).retrieve("q"),
        lambda: FunctionTool.from_defaults(failing).call(q=c("li.error.args", C.TOOL_ARGUMENTS)),
    ):
        with contextlib.suppress(ValueError):
            attempt()


async def _workflows(c: Canaries) -> None:
    flow = TwoSteps()
    flow.c = c
    await flow.run(question=c("li.workflow.input", C.USER_PROMPT))

    def look(q: str) -> str:
        return c("li.tool.result", C.TOOL_RESULTS)

    def handled(q: str) -> str:
        raise ValueError(c("li.error.handled", C.EXCEPTION_TEXT, C.TOOL_RESULTS))

    tools = [
        FunctionTool.from_defaults(look, description=c("li.tool.description", C.TOOL_DEFINITIONS)),
        FunctionTool.from_defaults(handled),
    ]
    llm = FakeLLM(
        answers=[
            says("", look={"q": c("li.tool.args", C.TOOL_ARGUMENTS)}),
            says("", handled={"q": "x"}),
            says(c("li.agent.answer", C.COMPLETION)),
        ]
    )
    agent = FunctionAgent(
        tools=tools, llm=llm, system_prompt=c("li.agent.system", C.SYSTEM_PROMPT), name=c.word("li.agent.name", C.NAMES)
    )
    await agent.run(user_msg=c("li.agent.question", C.USER_PROMPT))
