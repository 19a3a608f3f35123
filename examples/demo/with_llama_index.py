"""The same agent in LlamaIndex: a retriever as a tool, a chat model, `FunctionAgent`. Tracing is `instrument()`."""

from __future__ import annotations

from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI
from search import Search


class DocsRetriever(BaseRetriever):
    """The search engine, as LlamaIndex calls one."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=TextNode(text=passage.text, metadata={"source": passage.source}), score=score)
            for passage, score in self._search(query_bundle.query_str)
        ]


async def ask(question: str, search: Search, model: str, base_url: str | None, instructions: str) -> str:
    """The agent's answer, read as a stream."""
    retriever = DocsRetriever(search)

    async def search_docs(query: str) -> str:
        """Searches Spanloom's documentation."""
        return "\n\n".join(hit.node.get_content() for hit in await retriever.aretrieve(query))

    agent = FunctionAgent(
        name="docs_agent",
        tools=[search_docs],
        llm=OpenAI(model=model, api_base=base_url, additional_kwargs={"stream_options": {"include_usage": True}}),
        system_prompt=instructions,
    )
    run = agent.run(user_msg=question)
    answer = ""
    async for event in run.stream_events():
        if isinstance(event, AgentStream):
            answer += event.delta
    await run
    return answer
