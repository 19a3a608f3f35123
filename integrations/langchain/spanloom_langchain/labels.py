"""What LangChain's `metadata` and `tags` say: identity, LangGraph's place, agents, and LangChain's own bookkeeping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import filterfalse
from typing import Any
from urllib.parse import urlsplit

from spanloom.content.plain import text_of
from spanloom.identity import NOBODY, Identity, Prompt, current_identity
from spanloom.step import Kind

from .frames import GraphStart
from .prompts import NAMING, prompt_of_run
from .snapshots import snapshot

_WHO = frozenset({
    "thread_id", "user_id", "session_id", "conversation_id", "tenant", "langfuse_user_id", "langfuse_session_id",
    "langfuse_tags",
})  # fmt: skip
_OWN = (
    "checkpoint_id", "checkpoint_ns", "task_id", "run_id", "assistant_id", "graph_id", "run_attempt", "tags",
    "prompt_version", "revision_id", "traceparent", "tracestate", "versions",
)  # fmt: skip
_OWN_PREFIXES = ("ls_", "lc_", "langgraph_", "__", "LANGSMITH_", "langsmith_")
_INTERNAL_TAGS = ("seq:step:", "map:key:", "graph:step:", "langsmith:", "retry:attempt:", "condition:", "branch:")
_MOST_WORDS = 4_096

AGENT_INTEGRATION = "langchain_create_agent"


class _Bookkeeping:
    """LangChain's own keys or tags. Every run brings the same ones again, so they are remembered; no others are."""

    def __init__(self, prefixes: tuple[str, ...], words: Iterable[str] = ()) -> None:
        self._prefixes, self._words = prefixes, set(words)
        self._is_known = self._words.__contains__

    def unknown(self, words: Iterable[Any]) -> Iterator[Any]:
        """Those of `words` that are not remembered."""
        return filterfalse(self._is_known, words)

    def has(self, word: Any) -> bool:
        if not isinstance(word, str) or not word.startswith(self._prefixes):
            return False
        if len(self._words) < _MOST_WORDS:
            self._words.add(word)
        return True


_own_keys, _own_tags = _Bookkeeping(_OWN_PREFIXES, _OWN), _Bookkeeping(_INTERNAL_TAGS)


def identity_of(metadata: Mapping[str, Any], tags: Sequence[str], above: Identity | None = None) -> Identity:
    """User, session, tags, tenant and the rest of the metadata. A LangGraph thread is a session.

    `langfuse_user_id`, `langfuse_session_id` and `langfuse_tags`, which Langfuse's own handler reads, count too.
    `above` is the identity of the step around it. A run inherits its parent's metadata, so mostly it says nothing new:
    then `above` itself is the answer.
    """
    own: tuple[str, ...] = ()
    try:
        for tag in _own_tags.unknown(tags):
            if not _own_tags.has(tag):
                own += (tag,)
    except TypeError:  # one of them is no text, nor anything that can be looked up
        own = tuple([text for tag in tags if not _own_tags.has(text := text_of(tag))])
    rest: dict[str, Any] = {}
    says_who = names_prompt = False
    for key in _own_keys.unknown(metadata):
        if key in _WHO:
            says_who = True
        elif key in NAMING:
            names_prompt = True
        elif not _own_keys.has(key):
            rest[key] = metadata[key]
    user = session = tenant = None
    if says_who:
        user = metadata.get("user_id") or metadata.get("langfuse_user_id")
        session = (
            metadata.get("session_id")
            or metadata.get("langfuse_session_id")
            or metadata.get("conversation_id")
            or metadata.get("thread_id")
        )
        tenant = metadata.get("tenant")
        if user is not None and type(user) is not str:
            user = text_of(user)
        if session is not None and type(session) is not str:
            session = text_of(session)
        if tenant is not None and type(tenant) is not str:
            tenant = text_of(tenant)
        if "langfuse_tags" in metadata and isinstance(extra := metadata["langfuse_tags"], (list, tuple)):
            own += tuple(text_of(t) for t in extra if t not in own)
    prompt = prompt_of_run(metadata) if names_prompt else None
    if above is not None and _is_said(above, user, session, own, rest, tenant, prompt):
        using = current_identity()
        if using is NOBODY or _is_said(
            above, using.user_id, using.session_id, using.tags, using.metadata, using.tenant, using.prompt
        ):
            return above
    if not (user or session or own or rest or tenant or prompt):
        return NOBODY
    return Identity(user, session, own, snapshot(rest), tenant, prompt)


def _text(value: Any) -> str | None:
    return value if value is None or type(value) is str else text_of(value)


def _is_said(
    above: Identity,
    user: str | None,
    session: str | None,
    tags: tuple[str, ...],
    metadata: Mapping[str, Any],
    tenant: str | None,
    prompt: Prompt | None,
) -> bool:
    """Whether `above` says all of it."""
    if (
        (user and user != above.user_id)
        or (session and session != above.session_id)
        or (tenant and tenant != above.tenant)
        or (prompt is not None and prompt != above.prompt)
    ):
        return False
    if tags:
        for tag in tags:
            if tag not in above.tags:
                return False
    if metadata:
        for key, value in metadata.items():  # of other types than text, `==` may do anything
            said = above.metadata.get(key, _text)
            if said is not value and not (type(said) is type(value) is str and said == value):
                return False
    return True


_NOWHERE: Mapping[str, Any] = {}


def graph_place(
    metadata: Mapping[str, Any], above: Mapping[str, Any] = _NOWHERE, *, graph: bool = False
) -> Mapping[str, Any]:
    """LangGraph's place of a run: `node`, `step`, `checkpoint_ns`, `thread` and `agent`, as far as there are any.

    `above` is the place of the step around it: itself the answer where the run is in the same one. The run is a graph's
    own (`graph`), or in a node, or it has no thread: the id that a chain was given may be a conversation's.
    """
    place: dict[str, Any] = {}
    if (node := metadata.get("langgraph_node")) is not None:
        place["node"] = node
    if (step := metadata.get("langgraph_step")) is not None:
        place["step"] = step
    if (namespace := metadata.get("langgraph_checkpoint_ns")) is not None:
        place["checkpoint_ns"] = namespace
    if (graph or node is not None) and (thread := metadata.get("thread_id")) is not None:
        place["thread"] = _text(thread)
    if metadata.get("ls_integration") == AGENT_INTEGRATION:
        place["agent"] = metadata.get("lc_agent_name")
    return (above if place == above else place) if place else _NOWHERE


def chain_kind(run_type: str | None) -> Kind:
    """LangChain marks prompts and parsers by their run type; the rest are chains."""
    return _KINDS.get(run_type, _CHAIN)


_CHAIN = Kind.CHAIN  # Python 3.11 takes longer to find a member in its enum than for most that is done here
_KINDS: dict[str | None, Kind] = {None: _CHAIN, "prompt": Kind.PROMPT, "parser": Kind.PARSER}


def run_name(given: str | None, serialized: Mapping[str, Any] | None, default: str) -> str:
    """LangChain's name of a run: the given one, else the serialized object's name, else its class."""
    if given:
        return str(given)
    if serialized:
        if name := serialized.get("name"):
            return str(name)
        path = serialized.get("id")
        if isinstance(path, (list, tuple)) and path:
            return str(path[-1])
    return default


def agent_name(name: str, graph: GraphStart | None, serialized: Mapping[str, Any] | None = None) -> str | None:
    """The name of the agent whose own run a chain's run is; None where it is none.

    It is the run of a graph that was made as an agent, or of LangChain's former AgentExecutor, which says its class
    where it streams, and no more than its name where it does not. A run inside of an agent inherits its metadata, so
    that these tell nothing.
    """
    if graph is not None:
        made_as = graph.metadata.get("ls_integration")
        return str(graph.metadata.get("lc_agent_name") or name) if made_as in _AGENTS else None
    kind = serialized.get("id") if serialized else (name,)
    return name if kind and kind[-1] == _EXECUTOR else None


_AGENTS, _EXECUTOR = (AGENT_INTEGRATION, "deepagents"), "AgentExecutor"

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
    kwargs = serialized.get("kwargs") if serialized else None
    if not kwargs or not isinstance(kwargs, Mapping):
        return None, None
    for key in _ADDRESSES:
        if isinstance(url := kwargs.get(key), str):
            return _host_and_port(url)
    return None, None


@lru_cache(maxsize=64)
def _host_and_port(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None, None
