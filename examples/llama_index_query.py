"""A LlamaIndex query engine: embeddings, retriever, model, synthesis. Tracing is `instrument()`.

Runs offline: `MockEmbedding` and `MockLLM` are LlamaIndex's own; any others take their places.
"""

import spanloom
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.llms import MockLLM
from spanloom.cli import print_newest
from spanloom_llama_index import instrument

DOCUMENTS = [
    Document(text="Parcels leave our warehouse within two days.", doc_id="shipping"),
    Document(text="A parcel may be sent back within thirty days.", doc_id="returns"),
]


def main() -> None:
    with spanloom.configure(spanloom.Local("spanloom.db"), service_name="shop"):
        instrument()
        index = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=MockEmbedding(embed_dim=16))
        engine = index.as_query_engine(llm=MockLLM(max_tokens=64), similarity_top_k=1, streaming=True)
        with spanloom.using(user_id="u1"), instrument_tags({"feature": "returns"}):
            for piece in engine.query("How long may I send a parcel back?").response_gen:
                print(piece, end="", flush=True)
        print()
    print_newest("spanloom.db")


if __name__ == "__main__":
    main()
