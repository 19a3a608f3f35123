"""A LangChain tool that asks a LlamaIndex query engine: two frameworks, one trace.

Runs offline: LlamaIndex's mocks and LangChain's fake model take the places of real ones.
"""

import spanloom
import spanloom_langchain
import spanloom_llama_index
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.llms import MockLLM
from spanloom.cli import print_newest

HANDBOOK = [
    Document(text="Holidays are asked for in the calendar.", doc_id="holidays"),
    Document(text="Expenses are paid back within ten days.", doc_id="expenses"),
]


def main() -> None:
    with spanloom.configure(spanloom.Local("spanloom.db"), service_name="handbook"):
        spanloom_langchain.instrument()
        spanloom_llama_index.instrument()
        index = VectorStoreIndex.from_documents(HANDBOOK, embed_model=MockEmbedding(embed_dim=16))
        engine = index.as_query_engine(llm=MockLLM(max_tokens=8), similarity_top_k=1)

        @tool
        def handbook(question: str) -> str:
            """Answers from the staff's handbook."""
            return str(engine.query(question))

        model = FakeListChatModel(responses=["Ask for them in the calendar."])
        chain = handbook | RunnableLambda(lambda found: f"Answer from this: {found}", name="prompt") | model
        with spanloom.using(user_id="u1", tags=["handbook"]):
            print(chain.invoke({"question": "How do I take holidays?"}).text)
    print_newest("spanloom.db")


if __name__ == "__main__":
    main()
