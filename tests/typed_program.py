"""A user's program over the public names, for `mypy --strict` (`make check`); nothing runs it."""

import asyncio
from collections.abc import Mapping

import spanloom
import spanloom.celery
import spanloom.fastapi
import spanloom_llama_index
from fastapi import FastAPI
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda
from spanloom import (
    ContentPolicy,
    Keyring,
    Langfuse,
    Local,
    Otlp,
    Prices,
    Prompt,
    StepHandle,
    TailSampling,
    Vault,
    actions,
    using,
)
from spanloom.aws_lambda import flush_each_invocation
from spanloom.content.redaction import Patterns, Placeholders, redacted
from spanloom.identity import Identity
from spanloom.sampling import TraceView
from spanloom.scores import Score
from spanloom.testing import Memory, strict
from spanloom_langchain import SpanloomCallbackHandler, instrument, trace_embeddings, uninstrument


def of_acme(trace: TraceView) -> bool:
    return trace.tenant == "acme" and trace.duration > 1.0


def is_low(score: Score) -> bool:
    return isinstance(score.value, float) and score.value < 0.5


def in_europe(who: Identity) -> bool:
    return bool(who.metadata.get("region") == "eu")


def configure() -> spanloom.Loom:
    vault = Vault("vault", Keyring("keys.db"), subject="user")
    policy = TailSampling(
        errors=True, slower_than="p99", keep=0.05, never=["GET /health*", of_acme], always=of_acme, low_score=is_low
    )
    content = ContentPolicy.redacted(hash_key="k").replace(
        system_prompt=actions.hash(),
        documents=[actions.reference(vault)],
        completion=[actions.sample(0.1), actions.redact(), actions.truncate(500)],
    )
    return spanloom.configure(
        Otlp("http://localhost:4318", headers={"a": "b"}, protocol="grpc", sampling=policy, spool="spool.db"),
        Langfuse("pk-lf-1", "sk-lf-1", content=content, route=in_europe, name="eu"),
        Local("traces.db", max_traces=5),
        Memory(),
        service_name="shop",
        prices=[Prices("my*", input=0.1, output="0.4")],
    )


app = FastAPI(lifespan=spanloom.fastapi.lifespan(configure))


@flush_each_invocation
def handler(event: Mapping[str, str], context: object) -> str:
    return event["x"]


@flush_each_invocation(timeout=1.0)
async def later(event: Mapping[str, str], context: object) -> str:
    return event["x"]


async def main(loom: spanloom.Loom) -> bool:
    handlers = [SpanloomCallbackHandler()]
    chain = RunnableLambda[int, int](lambda number: number + 1)
    with using(user_id="u", session_id="s", tags=["a"], metadata={"x": 1}, tenant="t", prompt=("rag", 3)), strict():
        await chain.ainvoke(1, config={"callbacks": [*handlers]})
    with using(prompt=Prompt("rag")):
        chain.invoke(1, {"callbacks": [*handlers]})
    loom.score("helpful", 0.9, trace_id=handlers[0].last_trace_id, comment="to the point")
    step: StepHandle | None = spanloom.current_step()
    if step is not None:
        loom.score("right", True, step=step)
    instrument()
    uninstrument()
    spanloom_llama_index.instrument()
    spanloom_llama_index.uninstrument()
    spanloom.celery.connect()
    spanloom.shutdown_on_sigterm(timeout=3.0)
    vectors: list[list[float]] = trace_embeddings(DeterministicFakeEmbedding(size=3)).embed_documents(["a"])
    text, counts = redacted("x", Patterns(), Placeholders(), trace_id=1)
    print(vectors, text, counts.total(), loom.stats()["swallowed"])
    print(Vault("vault", Keyring("keys.db")).erase(user="u").digest)
    return await asyncio.to_thread(loom.flush, timeout=5.0)


if __name__ == "__main__":
    with configure() as loom:
        asyncio.run(main(loom))
