"""`make demo`: two agents answer from this project's own documentation, and show where their time went.

A real search engine, the frameworks' real OpenAI clients, and a model served on this machine: no account, no network.
With OPENAI_API_KEY set, OpenAI's service answers instead; with an OTLP endpoint or Langfuse keys in the environment,
the traces go there too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import spanloom
import with_langchain
import with_llama_index
from corpus import passages
from model_server import serving
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from rich.console import Console
from search import Search
from spanloom.cli import print_newest
from spanloom_llama_index import instrument

FILE = Path("spanloom-demo.db")
MODEL = "gpt-4o-mini"
QUESTION = "Which prompts and answers go out to an OTLP receiver by default?"
INSTRUCTIONS = "You answer questions about Spanloom. Search its documentation first, then quote it."
WHERE_TO = f"""
In the first trace the model was quick: the cache under the retriever was slow, once.

Both are in the file {FILE}:
  spanloom traces --path {FILE}
  spanloom show --path {FILE} --content

To have them in an OTLP backend, in Langfuse, or in both at once:
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 make demo
  LANGFUSE_PUBLIC_KEY=pk-lf-… LANGFUSE_SECRET_KEY=sk-lf-… make demo
  in code: spanloom.configure(Otlp("http://localhost:4318"), Langfuse(public_key=…, secret_key=…))
"""


def destinations() -> list[spanloom.Local | spanloom.Otlp | spanloom.Langfuse]:
    """The local file, and what the environment names."""
    chosen: list[spanloom.Local | spanloom.Otlp | spanloom.Langfuse] = [spanloom.Local(FILE)]
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        chosen.append(spanloom.Otlp())
    if os.environ.get("LANGFUSE_PUBLIC_KEY") or os.environ.get("LANGFUSE_SECRET_KEY"):
        chosen.append(spanloom.Langfuse())
    return chosen


@contextmanager
def model_address() -> Iterator[str | None]:
    """The local model's address; None, for OpenAI's own service, where there is a key."""
    if os.environ.get("OPENAI_API_KEY"):
        yield None
        return
    os.environ["OPENAI_API_KEY"] = "none needed"  # the clients ask for one
    with serving() as url:
        yield url


def main() -> None:
    console = Console(highlight=False)
    with (
        tempfile.TemporaryDirectory() as folder,
        spanloom.configure(*destinations(), service_name="docs-demo") as loom,
        model_address() as url,
    ):
        SQLite3Instrumentor().instrument(tracer_provider=loom.tracer_provider)
        instrument()
        search = Search(passages(), Path(folder) / "cache.db")
        console.print(QUESTION, style="bold")
        with spanloom.using(user_id="reader", session_id="demo"):
            console.print("\nThe LangChain agent answers:", style="bold")
            console.print(with_langchain.ask(QUESTION, search, MODEL, url, INSTRUCTIONS), markup=False)
            console.print("\nThe LlamaIndex agent answers:", style="bold")
            console.print(asyncio.run(with_llama_index.ask(QUESTION, search, MODEL, url, INSTRUCTIONS)), markup=False)
        delivered = loom.flush()
    print_newest(FILE, traces=2)
    console.print(WHERE_TO, markup=False, soft_wrap=True)
    for name, counts in loom.stats()["destinations"].items():
        console.print(f"{name}: {counts['exported']} of {counts['offered']} spans delivered", highlight=False)
    if not delivered:
        sys.exit("Not everything was delivered: is the receiver running, and the address right?")


if __name__ == "__main__":
    try:
        main()
    except spanloom.ConfigurationError as error:
        sys.exit(str(error))
