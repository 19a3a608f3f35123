"""A SQLite file: the embedded default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from opentelemetry.sdk.resources import Resource

from ..content import ContentPolicy
from .delivery import Delivery


class Local:
    def __init__(
        self, path: str | Path = "spanloom.db", *, content: ContentPolicy | None = None, name: str = "local"
    ) -> None:
        self.name, self.path, self.content = name, Path(path), content or ContentPolicy.full()

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        return Delivery(self.name, len, tick=tick)

    def close(self) -> None:
        pass
