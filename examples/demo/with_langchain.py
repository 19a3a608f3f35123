"""The agent in LangChain: a retriever as a tool, a chat model, `create_agent`. Tracing is one callback handler."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import create_retriever_tool
from langchain_openai import ChatOpenAI
from search import Search
from spanloom_langchain import SpanloomCallbackHandler


class DocsRetriever(BaseRetriever):
    """The search engine, as LangChain calls one."""

    search: Search

    model_config = {"arbitrary_types_allowed": True}  # noqa: RUF012  pydantic's way to say it

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  LangChain passes it
    ) -> list[Document]:
        return [
            Document(passage.text, metadata={"source": passage.source, "relevance_score": score})
            for passage, score in self.search(query)
        ]


def ask(question: str, search: Search, model: str, base_url: str | None, instructions: str) -> str:
    """The agent's answer, read as a stream."""
    agent = create_agent(
        ChatOpenAI(model=model, base_url=base_url, stream_usage=True),
        [create_retriever_tool(DocsRetriever(search=search), "search_docs", "Searches Spanloom's documentation.")],
        system_prompt=instructions,
        name="docs_agent",
    )
    answer = ""
    for message, _ in agent.stream(
        {"messages": [("user", question)]},
        config={"callbacks": [SpanloomCallbackHandler()]},
        stream_mode="messages",
    ):
        if message.type == "AIMessageChunk":
            answer += message.text
    return answer
