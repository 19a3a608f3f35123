"""What a way to trace does in a benchmark."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


class Subject:
    """One way to trace one framework, to `exports` destinations.

    `imports` are the modules that its users import, by framework; `load` does, and is timed. `start` sets it up
    against a sink at `url`, each destination under a path of its own. `config` goes to each LangChain run. After
    `flush` all that was traced has been sent. `pause` takes out of LangChain what `start` put there for all runs, with
    or without `config`, and `resume` puts it back; see `switch.py`.
    """

    imports: Mapping[str, tuple[str, ...]]

    def __init__(self, exports: int) -> None:
        self.exports = exports

    def load(self, framework: str) -> None:
        for module in self.imports[framework]:
            importlib.import_module(module)

    def start(self, framework: str, url: str) -> None:
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        return {}

    def flush(self) -> None:
        raise NotImplementedError

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass
