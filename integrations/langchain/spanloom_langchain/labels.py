"""What LangChain's `metadata` and `tags` say: identity, LangGraph's place, agents, and LangChain's own bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from spanloom.identity import NOBODY, Identity
from spanloom.step import Kind, Step

from .prompts import prompt_of_run

_OWN = frozenset({
    "thread_id", "checkpoint_id", "checkpoint_ns", "task_id", "run_id", "assistant_id", "graph_id", "run_attempt",
    "user_id", "session_id", "conversation_id", "tenant", "tags", "langfuse_user_id", "langfuse_session_id",
    "langfuse_tags", "langfuse_prompt", "prompt_name", "prompt_version", "revision_id", "__pregel_resuming",
    "traceparent", "tracestate", "versions",
})  # fmt: skip
_OWN_PREFIXES = ("ls_", "lc_", "langgraph_", "__", "LANGSMITH_", "langsmith_")
_INTERNAL_TAGS = ("seq:step:", "map:key:", "graph:step:", "langsmith:", "retry:attempt:", "condition:", "branch:")

AGENT_INTEGRATION = "langchain_create_agent"


def identity_of(metadata: Mapping[str, Any], tags: Sequence[str]) -> Identity:
    """User, session, tags, tenant and the rest of the metadata. A LangGraph thread is a session.

    `langfuse_user_id`, `langfuse_session_id` and `langfuse_tags`, which Langfuse's own handler reads, count too.
    """
    own = tuple(t for t in tags if not t.startswith(_INTERNAL_TAGS))
    extra = metadata.get("langfuse_tags")
    if isinstance(extra, (list, tuple)):
        own += tuple(str(t) for t in extra if t not in own)
    user = metadata.get("user_id") or metadata.get("langfuse_user_id")
    session = (
        metadata.get("session_id")
        or metadata.get("langfuse_session_id")
        or metadata.get("conversation_id")
        or metadata.get("thread_id")
    )
    rest = {k: v for k, v in metadata.items() if k not in _OWN and not k.startswith(_OWN_PREFIXES)}
    prompt = prompt_of_run(metadata)
    if not (user or session or own or rest or metadata.get("tenant") or prompt):
        return NOBODY
    return Identity(
        user_id=str(user) if user is not None else None,
        session_id=str(session) if session is not None else None,
        tags=own,
        metadata=rest,
        tenant=str(metadata["tenant"]) if metadata.get("tenant") is not None else None,
        prompt=prompt,
    )


def graph_place(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """LangGraph's place of a run: `node`, `step`, `checkpoint_ns`, `thread` and `agent`, as far as there are any."""
    place = {
        "node": metadata.get("langgraph_node"),
        "step": metadata.get("langgraph_step"),
        "checkpoint_ns": metadata.get("langgraph_checkpoint_ns"),
        "thread": str(metadata["thread_id"]) if metadata.get("thread_id") is not None else None,
    }
    out = {k: v for k, v in place.items() if v is not None}
    if metadata.get("ls_integration") == AGENT_INTEGRATION:
        out["agent"] = metadata.get("lc_agent_name")
    return out


def chain_kind(run_type: str | None) -> Kind:
    """LangChain marks prompts and parsers by their run type; the rest are chains."""
    return {"prompt": Kind.PROMPT, "parser": Kind.PARSER}.get(run_type or "", Kind.CHAIN)


def run_name(serialized: Mapping[str, Any] | None, kwargs: Mapping[str, Any], default: str) -> str:
    """LangChain's name of a run: given, else the serialized object's name, else its class."""
    if name := kwargs.get("name"):
        return str(name)
    if serialized:
        if name := serialized.get("name"):
            return str(name)
        path = serialized.get("id")
        if isinstance(path, (list, tuple)) and path:
            return str(path[-1])
    return default


def is_agent(
    name: str, metadata: Mapping[str, Any], parent: Step | None, serialized: Mapping[str, Any] | None = None
) -> bool:
    """Whether a chain run is an agent's own: one of `create_agent`, or LangChain's former AgentExecutor.

    `create_agent` marks its runs by metadata that their inner runs inherit. The outermost marked run is the agent, and
    so is one with the agent's name, unless it is a node of an agent of that name.
    """
    if metadata.get("ls_integration") != AGENT_INTEGRATION:
        return bool(serialized) and (serialized or {}).get("id", [None])[-1] == "AgentExecutor"
    own = metadata.get("lc_agent_name")
    if parent is None or "agent" not in parent.graph or parent.graph["agent"] != own:
        return True
    if parent.kind is Kind.AGENT and parent.agent_name == name and metadata.get("langgraph_node") == name:
        return False
    return name in (own or "LangGraph", "LangGraph")


_ADDRESSES = (
    "openai_api_base",
    "base_url",
    "azure_endpoint",
    "anthropic_api_url",
    "endpoint",
    "endpoint_url",
    "api_base",
)


def server_of(serialized: Mapping[str, Any] | None) -> tuple[str | None, int | None]:
    """The host and port of the service that a model was told to use; None where it was told none."""
    kwargs = (serialized or {}).get("kwargs")
    if not isinstance(kwargs, Mapping):
        return None, None
    url = next((v for key in _ADDRESSES if isinstance(v := kwargs.get(key), str)), "")
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None, None
