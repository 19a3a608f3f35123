"""What each backend gets to see: its own dialect, and none of the other's."""

from __future__ import annotations

from typing import Any

from ..dialects import collector as dialect
from ..dialects import content_keys as keys
from ..dialects.foreign import REPEATS
from ..dialects.rendered import STEP_KIND
from . import ottl
from .privacy import STATUS
from .settings import Spans


def to_otlp() -> dict[str, Any]:
    """The GenAI conventions alone."""
    return {"transform/otlp": _transform([f"delete_matching_keys(span.attributes, {ottl.literal(dialect.LANGFUSES)})"])}


def only(spans: Spans) -> dict[str, Any]:
    """What leaves out the spans that Langfuse does not get."""
    if spans == "all":
        return {}
    others = f"attributes[{ottl.literal(STEP_KIND)}] == nil"
    return {"filter/langfuse": {"error_mode": "ignore", "traces": {"span": [others]}}}


def to_langfuse(spans: Spans) -> dict[str, Any]:
    """Langfuse's observations, as the destination `Langfuse` sends them: the steps, each under the nearest step above.

    With "all", the spans of other libraries too, so that every span keeps its parent.
    """
    step, name = ottl.attribute(STEP_KIND), ottl.attribute(dialect.NAME)
    parent, root = ottl.attribute(dialect.PARENT), ottl.attribute(dialect.APP_ROOT)
    told = ottl.attribute(keys.STATUS_MESSAGE)
    if spans == "steps":
        places = [
            f"set(span.parent_span_id, SpanID({parent})) where {parent} != nil",
            f"set(span.parent_span_id, SpanID(0x0000000000000000)) where {parent} == nil",
        ]
    else:
        places = [f"delete_key(span.attributes, {ottl.literal(dialect.APP_ROOT)}) where not IsRootSpan()"]
    metadata = ottl.beginning(keys.METADATA)
    own = 'span.cache["metadata"]'
    top = f"where {root} == true"
    theirs, ours = ottl.literal(dialect.OBSERVATION_METADATA), ottl.literal(metadata)
    counted = ottl.literal(dialect.COUNTED_TWICE)
    statements = [
        *places,
        f"set(span.name, {name}) where {name} != nil",
        f"set({STATUS}, {told}) where {told} != nil and span.status.code == STATUS_CODE_ERROR",
        # A copy of the user's metadata is the trace's, where the span is the top one; then it is the observation's.
        f"set({own}, span.attributes) {top}",
        f"keep_matching_keys({own}, {ours}) {top}",
        f'replace_all_patterns({own}, "key", {ours}, {ottl.literal(dialect.TRACE_METADATA)}) {top}',
        f'merge_maps(span.attributes, {own}, "upsert") {top}',
        f'replace_all_patterns(span.attributes, "key", {ours}, {theirs})',
        *(f"delete_matching_keys(span.attributes, {ottl.literal(one)}) where {step} != nil" for one in dialect.MISREAD),
        f"delete_matching_keys(span.attributes, {counted}) where {ottl.attribute(REPEATS)} == true",
        f"delete_key(span.attributes, {ottl.literal(dialect.NAME)})",
        f"delete_key(span.attributes, {ottl.literal(dialect.PARENT)})",
    ]
    return {"transform/langfuse": _transform(statements)}


def _transform(statements: list[str]) -> dict[str, Any]:
    return {"error_mode": "ignore", "trace_statements": [{"context": "span", "statements": statements}]}
