"""What a policy needs of the place that it sends content to by reference: `spanloom.Vault` is one."""

from __future__ import annotations

from typing import Any, Protocol

from ..identity import Identity


class Kept(Protocol):
    """A piece of content on its way into a vault. Its `reference` is known at once."""

    @property
    def reference(self) -> str: ...

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
        """Check the settings; raise `ConfigurationError` where they cannot work. May be called again."""
        ...

    def keep(self, identity: Identity, trace_id: int, span_id: int, recorded_ns: int, content: Any) -> Kept: ...

    def flush(self, timeout: float) -> bool: ...

    def counts(self) -> dict[str, int]: ...
