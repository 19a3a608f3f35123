"""An AWS Lambda handler that asks a LlamaIndex engine: what it traced is sent before each invocation returns.

In the function's settings the handler is `lambda_handler.handler`. The index is built once, in the cold start.
"""

from typing import Any

import spanloom
from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.llms import MockLLM
from spanloom.aws_lambda import flush_each_invocation
from spanloom_llama_index import instrument

DOCUMENTS = [
    Document(text="Parcels leave our warehouse within two days.", doc_id="shipping"),
    Document(text="A parcel may be sent back within thirty days.", doc_id="returns"),
]

spanloom.configure(service_name="shop")
instrument()
index = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=MockEmbedding(embed_dim=16))
engine = index.as_query_engine(llm=MockLLM(max_tokens=64), similarity_top_k=1)


@flush_each_invocation
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    with spanloom.using(metadata={"aws_request_id": context.aws_request_id}):
        return {"statusCode": 200, "body": str(engine.query(event["question"]))}
