"""A LangChain chain that answers from documents: retriever, prompt, model, parser. Tracing is one handler.

Runs offline: any chat model takes the place of `GenericFakeChatModel`, and any embeddings that of the fake ones,
which need numpy.
"""

import spanloom
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from spanloom.cli import print_newest
from spanloom_langchain import SpanloomCallbackHandler, trace_embeddings

DOCUMENTS = [
    Document("Parcels leave our warehouse within two days."),
    Document("A parcel may be sent back within thirty days."),
    Document("Our office is closed on Sundays."),
]


def main() -> None:
    store = InMemoryVectorStore(trace_embeddings(DeterministicFakeEmbedding(size=256)))
    model = GenericFakeChatModel(messages=iter(["You may send it back within thirty days."]))
    prompt = ChatPromptTemplate.from_messages([
        ("system", "Answer from these notes:\n{notes}"),
        ("user", "{question}"),
    ])  # fmt: skip
    notes = store.as_retriever(search_kwargs={"k": 2})
    chain = {"notes": notes, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()

    with spanloom.configure(spanloom.Local("spanloom.db"), service_name="shop"):
        store.add_documents(DOCUMENTS)
        with spanloom.using(user_id="u1", session_id="s1", tags=["beta"]):
            for piece in chain.stream(
                "How long may I send a parcel back?", config={"callbacks": [SpanloomCallbackHandler()]}
            ):
                print(piece, end="", flush=True)
        print()
    print_newest("spanloom.db")


if __name__ == "__main__":
    main()
