"""Which of LlamaIndex's spans are steps, and of which family; all others fold into the step around them."""

from __future__ import annotations

import enum
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.chat_engine.types import BaseChatEngine, StreamingAgentChatResponse
from llama_index.core.image_retriever import BaseImageRetriever
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.response_synthesizers.base import BaseSynthesizer
from llama_index.core.tools.types import BaseTool
from llama_index.core.workflow import Workflow
from spanloom.loaded import loaded
from spanloom.step import Kind

_MOST_KNOWN = 10_000
_UUID = 37  # "-" and a UUID, at the end of every span id


class Family(enum.Enum):
    """What a span is to us. `kind` is the kind of its step; None where the span is no step."""

    # Each value is a pair, so that families of one kind stay distinct.
    QUERY = (Kind.CHAIN, "query")
    SYNTHESIZE = (Kind.CHAIN, "synthesize")
    CHAT = (Kind.CHAIN, "chat")
    INGESTION = (Kind.CHAIN, "ingestion")
    WORKFLOW_STEP = (Kind.CHAIN, "workflow step")
    WORKFLOW = (Kind.WORKFLOW, "workflow")
    AGENT = (Kind.AGENT, "agent")
    RETRIEVER = (Kind.RETRIEVER, "retriever")
    RERANKER = (Kind.RERANKER, "reranker")
    EMBEDDING = (Kind.EMBEDDING, "embedding")
    LLM = (Kind.LLM, "llm")
    TOOL = (Kind.TOOL, "tool")
    POSTPROCESSOR = (None, "postprocessor")  # a reranker, should it send an event that says so
    CHAT_HISTORY = (None, "chat history")  # drains a chat engine's stream, in a thread or task of its own
    INTERNAL = (None, "internal")

    __hash__ = object.__hash__  # members are single objects, and Enum's own hash is a call of Python

    def __init__(self, kind: Kind | None, _: str) -> None:
        self.kind = kind  # an attribute: looking up `value`, or a member by its name, costs more than a small dict
        self.is_run = kind in (Kind.WORKFLOW, Kind.AGENT)


try:  # deprecated since 0.12: models take blocks of any kind
    from llama_index.core.multi_modal_llms.base import MultiModalLLM

    _MULTI_MODAL: tuple[type, ...] = (MultiModalLLM,)
except ImportError:  # pragma: no cover - not yet removed
    _MULTI_MODAL = ()


def _both(*names: str) -> frozenset[str]:
    return frozenset(names) | {f"a{name}" for name in names}


_CHAT = _both("chat", "stream_chat")
_EMBED = _both("get_query_embedding", "get_text_embedding", "get_text_embedding_batch")
_RUN = frozenset({"run"})

_TABLE: tuple[tuple[type, frozenset[str], Family], ...] = (
    (StructuredLLM, _both("chat", "stream_chat", "complete", "stream_complete"), Family.INTERNAL),  # wraps the model
    (BaseLLM, _CHAT | _both("complete", "stream_complete"), Family.LLM),
    *((m, _CHAT | _both("complete", "stream_complete"), Family.LLM) for m in _MULTI_MODAL),
    (BaseEmbedding, _EMBED, Family.EMBEDDING),
    (BaseRetriever, _both("retrieve"), Family.RETRIEVER),
    (
        BaseImageRetriever,
        _both("text_to_image_retrieve", "image_to_image_retrieve"),
        Family.RETRIEVER,
    ),
    (
        BaseNodePostprocessor,
        _both("postprocess_nodes") | {"_postprocess_nodes", "_apostprocess_nodes"},
        Family.RERANKER,
    ),
    (BaseSynthesizer, _both("synthesize"), Family.SYNTHESIZE),
    (BaseQueryEngine, _both("query"), Family.QUERY),
    (BaseChatEngine, _CHAT, Family.CHAT),
    (BaseTool, _both("call") | {"__call__"}, Family.TOOL),
    (IngestionPipeline, _both("run"), Family.INGESTION),
    (Workflow, _RUN, Family.WORKFLOW),
    (StreamingAgentChatResponse, _both("write_response_to_history"), Family.CHAT_HISTORY),
)
_SELDOM = (  # asked first, since an agent is a workflow too; `llama_index.core` imports none of them
    ("llama_index.core.base.embeddings.base_sparse", "BaseSparseEmbedding", _EMBED, Family.EMBEDDING),
    ("llama_index.core.agent.workflow", "BaseWorkflowAgent", _RUN, Family.AGENT),
    ("llama_index.core.agent.workflow", "AgentWorkflow", _RUN, Family.AGENT),
)
_INTERNAL = Family.INTERNAL

_known: dict[tuple[type, str], tuple[str, Family]] = {}


def identified(span_id: str, instance: Any) -> tuple[str, Family]:
    """The name of a span, and its family: by the class of `instance` and what stands before the id's UUID.

    The name is `Class.method`, as the id gives it: after the last `<locals>.`. A span without an instance is a
    workflow's step, or internal.
    """
    key = (type(instance), span_id[:-_UUID])
    known = _known.get(key)
    if known is None:
        told = key[1].rpartition("<locals>.")[2]
        name = told or span_id
        family = _INTERNAL if instance is None else _find(key[0], method_of(name))
        known = (name, family)
        if told:  # an id of another form says nothing that comes again
            if len(_known) >= _MOST_KNOWN:  # classes and ids made at run time
                _known.clear()
            _known[key] = known
    return known


def _find(kind: type, method: str) -> Family:
    for module, name, methods, family in _SELDOM:
        if method in methods and issubclass(kind, loaded(module, name)):
            return family
    for base, methods, family in _TABLE:
        if method in methods and issubclass(kind, base):
            if family is Family.RERANKER and not any("rerank" in c.__name__.lower() for c in kind.__mro__):
                return Family.POSTPROCESSOR
            return family
    return Family.INTERNAL


def method_of(name: str) -> str:
    return name.rpartition(".")[2]


_FREE_FUNCTIONS = frozenset({"run_jobs", "worker"})  # of llama_index.core.async_utils: their spans have no instance


def is_workflow_step(instance: Any, name: str) -> bool:
    """Whether a span right below a workflow's run is one of its steps."""
    return instance is None and name not in _FREE_FUNCTIONS


def is_output_schema(tool: Any) -> bool:
    """Whether a tool is a structured output's schema in disguise, which no model chose and nobody runs."""
    return getattr(getattr(tool, "_fn", None), "__module__", None) == "llama_index.core.program.function_program"
