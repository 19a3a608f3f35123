"""What a span says to a Collector beside the GenAI conventions: how Langfuse is to see it."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..content.visible import Visible
from ..dialects import collector as dialect
from ..dialects.langfuse import TraceFacts, facts_of, is_environment
from ..dialects.rendered import Attributes, Rendered
from ..ended import Ended
from ..errors import ConfigurationError
from ..step import Lineage, Step
from .seen import Seen


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

    def of(self, ended: Ended, shown: Seen) -> Callable[[Step, Visible], Rendered]:
        """What renders the step that `ended` is, in both."""
        parent = _step_above(ended)
        facts = self._facts(shown, parent)
        return lambda step, content: dialect.render(step, content, facts, _hexadecimal(parent))

    def beside(self, ended: Ended, shown: Seen) -> Attributes:
        """What another library's span says beside its own words."""
        parent = _step_above(ended)
        facts, above = self._facts(shown, parent), _hexadecimal(parent)
        return dialect.beside(shown.attributes, shown.content, facts, above, repeats=ended.repeats)

    def _facts(self, shown: Seen, parent: Lineage | None) -> TraceFacts:
        environment = self.environment.lower() if self.environment else None
        return facts_of(shown.root_name, environment, self.release, None, parent is None)


def _step_above(ended: Ended) -> Lineage | None:
    """The nearest step of this process above the span; a span of another process counts as none."""
    above = ended.lineage
    while above is not None and (above.remote or above.scope is not None):
        above = above.parent
    return above


def _hexadecimal(place: Lineage | None) -> str | None:
    return None if place is None else format(place.span_id, "016x")
