"""What a span says to a Collector beside the GenAI conventions: how Langfuse is to see it."""

from __future__ import annotations

import os

from ..content import ContentPolicy
from ..content.visible import Visible
from ..dialects import collector as dialect
from ..dialects.langfuse import TraceFacts, is_environment
from ..dialects.rendered import Attributes, Rendered
from ..errors import ConfigurationError
from ..step import Lineage, Step
from ..weave import Ended
from .destination import visible


class BothDialects:
    """`LANGFUSE_TRACING_ENVIRONMENT` and `LANGFUSE_RELEASE` say what they say to `Langfuse`."""

    def __init__(self) -> None:
        self.environment = os.environ.get("LANGFUSE_TRACING_ENVIRONMENT") or None
        self.release = os.environ.get("LANGFUSE_RELEASE") or None

    def check(self) -> None:
        """Raise a `ConfigurationError` for an environment that Langfuse files elsewhere."""
        if self.environment is not None and not is_environment(self.environment):
            raise ConfigurationError(
                f'LANGFUSE_TRACING_ENVIRONMENT={self.environment!r} would be filed under "default": write at most 40 '
                "of a-z, 0-9, - and _, not beginning with langfuse."
            )

    def step(self, ended: Ended, step: Step, seen: Visible) -> Rendered:
        """A step in both."""
        parent = _step_above(ended)
        return dialect.render(step, seen, self._facts(ended, parent), _hexadecimal(parent))

    def other(self, ended: Ended, policy: ContentPolicy) -> Attributes:
        """What another library's span says beside its own words."""
        parent = _step_above(ended)
        return dialect.beside(
            ended.span.attributes or {}, visible(ended, policy), self._facts(ended, parent), _hexadecimal(parent),
            repeats=ended.repeats,
        )  # fmt: skip

    def _facts(self, ended: Ended, parent: Lineage | None) -> TraceFacts:
        environment = self.environment.lower() if self.environment else None
        return TraceFacts(ended.root_name, environment, self.release, app_root=parent is None)


def _step_above(ended: Ended) -> Lineage | None:
    """The nearest step of this process above the span; a span of another process counts as none."""
    above = ended.lineage
    while above is not None and (above.remote or above.scope is not None):
        above = above.parent
    return above


def _hexadecimal(place: Lineage | None) -> str | None:
    return None if place is None else format(place.span_id, "016x")
