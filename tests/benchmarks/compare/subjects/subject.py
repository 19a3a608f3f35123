"""What a way to trace does in a benchmark."""

from __future__ import annotations

from typing import Any


class Subject:
    """One way to trace one framework, to `exports` destinations.

    `load` imports what its users import, and nothing else happens there: it is timed. `start` sets it up against a
    sink at `url`, each destination under a path of its own. `config` goes to each LangChain run. After `flush` all that
    was traced has been sent.
    """

    def __init__(self, exports: int) -> None:
        self.exports = exports

    def load(self, framework: str) -> None:
        raise NotImplementedError

    def start(self, framework: str, url: str) -> None:
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        return {}

    def flush(self) -> None:
        raise NotImplementedError
