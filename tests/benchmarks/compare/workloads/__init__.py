"""What an application does: six pieces of work with fake models of no latency.

`WORKLOADS` says of each its framework, how many spans of a run those who trace all of it make, and how many runs are
one block. `build(framework)` makes the runnables, in the process of a subject.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LANGCHAIN, LLAMA_INDEX = "langchain", "llama_index"
FRAMEWORKS = (LANGCHAIN, LLAMA_INDEX)

CHUNKS = 500
"""Pieces of each streamed answer."""
TOGETHER = 200
"""Runs of W6 that are open at once."""


@dataclass(frozen=True, slots=True)
class Workload:
    """`spans` are those of one run. `runs` are those of one block, and a turn is `pairs` pairs of
    blocks: short ones, since what else the machine does changes from one second to the next; not too short, since each
    ends with a flush, which costs about as much as a run.

    `whole` is the workload that does the same but streams its answer in one piece: it tells the cost of a token.
    """

    name: str
    title: str
    framework: str
    spans: int
    runs: int
    pairs: int = 2
    whole: str | None = None
    shown: bool = True


WORKLOADS = {
    w.name: w
    for w in (
        Workload("w1", "LangChain RAG chain, 10 spans", LANGCHAIN, 10, 50),
        Workload("w2", "LangGraph agent with 3 tool calls, 15 spans", LANGCHAIN, 15, 20),
        Workload("w3", f"LangChain stream of {CHUNKS} chunks, 4 spans", LANGCHAIN, 4, 8, whole="w3-whole"),
        Workload("w3-whole", "the same answer in one chunk", LANGCHAIN, 4, 30, shown=False),
        Workload("w4", "LlamaIndex query, 14 spans", LLAMA_INDEX, 14, 20),
        Workload("w5", f"LlamaIndex stream of {CHUNKS} tokens, 13 spans", LLAMA_INDEX, 13, 8, whole="w5-whole"),
        Workload("w5-whole", "the same answer in one token", LLAMA_INDEX, 13, 20, shown=False),
        Workload("w6", f"{TOGETHER} concurrent LangChain RAG chains, 10 spans each", LANGCHAIN, 10, TOGETHER, pairs=1),
    )
}

Run = Callable[[int, Any], None]
"""One run, by its number, with a LangChain config (None for LlamaIndex)."""


def build(framework: str) -> dict[str, Run]:
    """The runs of `framework`'s workloads by name. W6 is no `Run` but all of them at once: `(first, count, config)`."""
    return importlib.import_module(f"{__name__}.{framework}").build()
