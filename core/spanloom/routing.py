"""Which traces go to which destination: tenants and regions apart.

A destination with a `route=` takes the traces whose identity it says yes to. That is asked once, when the topmost step
begins, and holds for all that lies below it, whatever `using(...)` says later. A span of another library follows the
step that it lies in; one outside of all steps follows the identity that was current when it began, or else the steps of
its trace, where they agree. What no route takes goes to no routed destination, and is counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias

from .guard import warn_once
from .identity import NOBODY, Identity

Predicate: TypeAlias = Callable[[Identity], bool]
Route: TypeAlias = frozenset[str]
"""The names of the routed destinations that take a trace."""

NOWHERE: Route = frozenset()
_REMEMBERED = 50_000


class Routes:
    """The predicates of one configuration, by destination. Bounded: of the traces that began last, it knows the way."""

    def __init__(self, predicates: Mapping[str, Predicate]) -> None:
        self._predicates = dict(predicates)
        self._lock = threading.RLock()
        self._traces: OrderedDict[int, set[Route]] = OrderedDict()
        self.unroutable = self.failed = 0

    def __bool__(self) -> bool:
        return bool(self._predicates)

    def __contains__(self, name: str) -> bool:
        return name in self._predicates

    def of(self, identity: Identity) -> Route:
        """Where a trace of that identity goes. A predicate that raises says no."""
        found = []
        for name, takes in self._predicates.items():
            try:
                if takes(identity):
                    found.append(name)
            except Exception as error:  # the user's own code, in the application's call
                self.failed += 1
                warn_once(
                    f"route:{name}",
                    "spanloom: the route=… of %s failed (%s): it takes no trace that it fails on; counted",
                    name,
                    type(error).__name__,
                )
        return frozenset(found)

    def begin(self, trace_id: int, identity: Identity) -> Route:
        """The way of a topmost step, noted for the spans around it and for scores."""
        if not self._predicates:
            return NOWHERE
        route = self.of(identity)
        with self._lock:
            self._traces.setdefault(trace_id, set()).add(route)
            if len(self._traces) > _REMEMBERED:
                self._traces.popitem(last=False)
        return route

    def of_span(self, identity: Identity) -> Route | None:
        """The way of a span outside of all steps, by who was current when it began; None where that was nobody."""
        return None if identity is NOBODY or not self._predicates else self.of(identity)

    def of_trace(self, trace_id: int) -> Route | None:
        """Where all the steps of a trace go; nowhere where they go different ways. None where no step is known."""
        with self._lock:
            ways = self._traces.get(trace_id)
            if ways is None:
                return None
            return next(iter(ways)) if len(ways) == 1 else NOWHERE

    def count(self, route: Route) -> None:
        """A span or a score went this way."""
        if self._predicates and not route:
            with self._lock:
                self.unroutable += 1

    def counts(self) -> dict[str, int]:
        """`{unroutable, failed}`: spans and scores that no route took, and predicates that raised."""
        return {"unroutable": self.unroutable, "failed": self.failed}

    def after_fork(self) -> None:
        self._lock = threading.RLock()
