"""What a policy needs of the place that it sends content to by reference: `spanloom.Vault` is one."""

from __future__ import annotations

from typing import Any, Protocol

from ..identity import Identity


class Kept(Protocol):
    """Content on its way into a vault."""

    def wait(self, deadline: float) -> bool:
        """Whether it is stored by `deadline` (of `time.monotonic()`). What is not by then never will be."""
        ...


class Keeper(Protocol):
    """Stores content under the key of whom it belongs to. Nothing here blocks or raises but `open`."""

    @property
    def name(self) -> str: ...

    @property
    def wait_seconds(self) -> float:
        """How long a worker waits for a batch's content to be stored."""
        ...

    def open(self) -> None:
        """Begin to use it; raise `ConfigurationError` where its settings cannot work."""
        ...

    def reference(self, identity: Identity, trace_id: int, span_id: int, recorded_ns: int) -> str:
        """A new reference, under which one plain JSON value of that span may be kept."""
        ...

    def keep_under(self, reference: str, content: Any) -> Kept:
        """Store `content` under `reference`. `reference#n` names the item `n` of a list."""
        ...

    def flush(self, timeout: float) -> bool: ...

    def close(self, timeout: float) -> bool:
        """Store what is queued. Each `open` wants a `close`."""
        ...

    def counts(self) -> dict[str, int]: ...
