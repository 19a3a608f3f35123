"""Two dialects on one span, for a Collector that decides and routes: the GenAI conventions' and Langfuse's.

The Collector takes one set off for each backend (`spanloom collector-config` writes how), so that none of them reads
the other's words. The user's metadata goes once, under `spanloom.metadata.`, and is renamed on its way to Langfuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.trace import SpanKind

from ..content.visible import Visible
from ..step import Step
from . import foreign, genai, langfuse
from .langfuse import TraceFacts
from .rendered import Attributes, Rendered, known

NAME = "spanloom.langfuse.name"
"""How Langfuse is to name the span."""

PARENT = "spanloom.langfuse.parent_span_id"
"""The nearest step above, 16 hexadecimal digits: the span's parent where Langfuse gets steps alone. None at the top."""

APP_ROOT = "langfuse.internal.is_app_root"
"""True at the top of what one process sends of a trace."""

TRACE_NAME = "langfuse.trace.name"
OBSERVATION_METADATA = "langfuse.observation.metadata."
TRACE_METADATA = "langfuse.trace.metadata."

LANGFUSES = r"^(spanloom\.)?langfuse\."
"""Of the keys that only Langfuse is to see."""

MISREAD = (
    r"^(gen_ai|error|llm|openinference)\.",
    r"^spanloom\.(step\.(input|output)$|prompt\.|completion\.|content\.|cost\.|vault\.|tags$|tenant$)",
)
"""Of a step's keys that Langfuse reads wrongly, or has under its own."""

COUNTED_TWICE = r"^(gen_ai|llm|embedding|openinference|ai)\.|^(model|metadata\.usage)$"
"""Of the keys by which another library's span of a model call that is a step would be counted beside it."""


def render(step: Step, visible: Visible, trace: TraceFacts, parent: str | None) -> Rendered:
    """The step with both. `parent` is what stands under `PARENT`."""
    made = genai.render(step, visible)
    theirs = langfuse.render(step, _less_metadata(visible), trace)
    made.attributes = {**theirs.attributes, **made.attributes, **known({NAME: theirs.name, PARENT: parent})}
    return made


def beside(
    own: Mapping[str, Any], visible: Visible, trace: TraceFacts, parent: str | None, *, repeats: bool
) -> Attributes:
    """What stands beside the `own` attributes of another library's span. `repeats`: of a model call that is a step."""
    spoken = foreign.demoted(own) if repeats else dict(own)
    theirs = langfuse.render_other("", SpanKind.INTERNAL, spoken, _less_metadata(visible), trace)
    return {**theirs.attributes, **known({PARENT: parent})}


def _less_metadata(visible: Visible) -> Visible:
    return replace(visible, metadata={}) if visible.metadata else visible
