"""The neutral record: what happened in one step of a run, in no framework's and no backend's words.

Adapters fill it, dialects render it. `Step` holds structure; `Content` holds what a policy must see first. Whatever is
costly to read (messages, documents, arbitrary inputs) is held as a `Deferred` and read on the worker.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from .identity import NOBODY, Identity
from .usage import Cost, Usage


class Kind(enum.StrEnum):
    """What a step does; the value of `spanloom.step.kind`."""

    __hash__ = str.__hash__  # an enum's own is written in Python

    CHAIN = "chain"
    AGENT = "agent"
    WORKFLOW = "workflow"
    LLM = "llm"
    RETRIEVER = "retriever"
    TOOL = "tool"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    PROMPT = "prompt"
    PARSER = "parser"
    OTHER = "other"


class Outcome(enum.StrEnum):
    """How a step ended; the value of `spanloom.step.outcome`. Only `ERROR` sets the span's status to ERROR."""

    __hash__ = str.__hash__  # as above

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    INTERRUPTED = "interrupted"
    HANDOFF = "handoff"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    content: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model says of its own thinking."""

    content: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool. `arguments` is an object, or text where the model's JSON did not parse."""

    name: str
    arguments: Any = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallResponse:
    """A tool's answer, on its way back to the model."""

    response: Any
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound, video or file. Bytes are never kept: only their size, or the address they stand at."""

    modality: str
    mime_type: str | None = None
    uri: str | None = None
    file_id: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A part that no class above fits: the provider's own type name and its payload."""

    type: str
    value: Any = None


Part: TypeAlias = Text | Reasoning | ToolCall | ToolCallResponse | Media | OtherPart


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `role` is system, user, assistant or tool, or a provider's own.

    `made` is for what readers make of it, each under a key of its own: a chat is told anew in each of its turns, and
    what was said before is the same object again.
    """

    role: str
    parts: tuple[Part, ...] = ()
    name: str | None = None
    finish_reason: str | None = None
    made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A retrieved document or node. `score` is the retriever's own measure: its range differs by retriever."""

    content: str | None = None
    id: str | None = None
    score: float | None = None
    metadata: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool that a model was offered; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Any = None


@dataclass(slots=True)  # not frozen: made in the application's calls, where that would cost four times as much
class Deferred:
    """A value that costs something to read: `build(*args)`, called once, on the worker. Nobody changes it."""

    build: Callable[..., Any]
    args: tuple[Any, ...] = ()

    def resolve(self) -> Any:
        return self.build(*self.args)


Lazy: TypeAlias = Any
"""A value, or a `Deferred` of one."""


@dataclass(slots=True)
class Content:
    """What a step said and read. It travels beside the span, and reaches a destination only through its policy.

    Every field may be a `Deferred`. `input` and `output` serve the kinds that have no field of their own (chains,
    agents, workflows, prompts, parsers); they hold any Python value. `template` are the messages of the static template
    that a model's prompt was made from, with its placeholders in them; only its hash goes anywhere.
    """

    input: Lazy = None
    output: Lazy = None
    input_messages: Lazy = ()
    output_messages: Lazy = ()
    tool_definitions: Lazy = ()
    arguments: Lazy = None
    result: Lazy = None
    query: Lazy = None
    documents: Lazy = ()
    prompt_variables: Lazy = None
    template: Lazy = ()
    error_message: Lazy = None
    error_stack: Lazy = None


@dataclass(slots=True)
class Event:
    """Something that happened inside a step at `time_ns` (since the epoch). `data` has neutral keys, no content."""

    name: str
    time_ns: int
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)  # not frozen: one is made for each span in the application's call, and that costs thrice
class Lineage:
    """A span's place in its trace, as far up as this process knows. Nobody changes it.

    `scope` is the instrumentation scope of a span that another library opened; None marks a step. `remote` marks a
    span of another process, which ends the chain.
    """

    span_id: int
    scope: str | None = None
    parent: Lineage | None = None
    remote: bool = False


FIRST_TOKEN = "first_token_received"  # noqa: S105  a token of text
TOOL_CALL_DISPATCHED = "tool_call_dispatched"
PROMPT_REPEATED = "prompt_repeated"


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many other calls of this process had sent the same prompt when a model call ended: `trace` of them in its
    trace, `minute` of them within 60 seconds of it."""

    trace: int = 0
    minute: int = 0


NOTHING: Mapping[str, Any] = MappingProxyType({})
"""An empty mapping that all share: most steps have no parameters, and many are open or wait at a time."""


@dataclass(slots=True, eq=False)
class Step:
    """One step of a run. Adapters fill the fields, the recorder those under "the recorder's own".

    Times are nanoseconds since the epoch. `parameters` holds sampling parameters under the GenAI conventions' last
    words (`temperature`, `top_p`, `top_k`, `max_tokens`, `stop_sequences`, `seed`, `frequency_penalty`,
    `presence_penalty`).
    """

    run_id: Hashable
    kind: Kind
    name: str
    start_ns: int = 0
    end_ns: int = 0

    # models
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    usage: Usage | None = None
    service_tier: str | None = None  # what the provider says that it served the call with: default, flex, priority
    completion: bool = False  # a string model: text in, text out
    streaming: bool = False
    cache_hit: bool = False
    first_token_ns: int | None = None
    chunks: int = 0  # pieces of a streamed answer
    server_address: str | None = None
    server_port: int | None = None

    # tools, agents, workflows, retrievers, embeddings
    tool_name: str | None = None
    tool_description: str | None = None
    tool_call_id: str | None = None
    agent_name: str | None = None
    workflow_name: str | None = None
    data_source_id: str | None = None
    document_count: int | None = None
    top_k: int | None = None
    embedding_count: int | None = None
    embedding_dimension: int | None = None
    graph: Mapping[str, Any] = field(
        default_factory=lambda: NOTHING
    )  # LangGraph: node, step, triggers, path, checkpoint_ns

    outcome: Outcome | None = None
    error_type: str | None = None
    events: Sequence[Event] = ()  # see `add_event`
    content: Content = field(default_factory=Content)
    identity: Identity = NOBODY
    links: Sequence[Any] = ()  # opentelemetry.trace.Link

    # the worker's own
    cost: Cost | None = None  # None: unknown, or not a call of a model
    priced: bool = False
    repeats: Repeats | None = None  # None: its prompt is the first of its kind, or it is not a call of a model

    # the adapter's own
    process_output: Any = None  # what the application makes of its output for a trace: a function of it

    # the recorder's own
    live: Any = None  # what makes its live span when somebody looks at it; None where it is the SDK's from the start
    held: Any = None  # its live span, where there is one: see `span`
    trace_id: int = 0
    span_id: int = 0
    trace_flags: int = 0
    trace_state: Any = None  # opentelemetry.trace.TraceState
    above: Any = None  # opentelemetry.trace.SpanContext: its parent, where that is somebody else's span
    parent_span_id: int = 0
    lineage: Lineage | None = None  # its parent's place
    place: Lineage | None = None  # its own
    root_name: str = ""
    route: frozenset[str] = frozenset()  # the routed destinations that take it
    parent_run_id: Hashable = None
    entry: Any = None  # what `current` attached for it, and what was current before
    children: set[Hashable] | None = None  # those that are open
    task: Any = None  # a weak reference to the asyncio task that began it
    end_holder: Any = None  # a weak reference to what the framework needs to report the end
    request: Any = None  # of a root: what `recent` keeps of it
    awaits_stream: bool = False  # a step below it was left with its stream unread
    closed: bool = False

    def add_event(self, event: Event) -> None:
        """Note what has happened inside the step."""
        if isinstance(self.events, list):
            self.events.append(event)
        else:
            self.events = [*self.events, event]

    @property
    def span(self) -> Any:
        """Its live span, an `opentelemetry.trace.Span`: the same object while the step is open."""
        return self.held if self.live is None or self.held is not None else self.live.span_of(self)
