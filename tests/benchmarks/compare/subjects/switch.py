"""Subjects in one process, of which one at a time is at work: a subject, and the no-op handler that it is held against.

On LlamaIndex it is the handlers on the root dispatcher that come and go, whoever put them there. On LangChain it is
`config`, which each run is given, and `Subject.pause` for those who change LangChain itself.
"""

from __future__ import annotations

from typing import Any

from ..workloads import LLAMA_INDEX
from .subject import Subject


class Switch:
    """Starts `subject`, which is at work until `off`, and again after `on`; each is called where the other one was."""

    def __init__(self, subject: Subject, framework: str, url: str) -> None:
        self.subject = subject
        self._dispatcher = _Dispatcher() if framework == LLAMA_INDEX else None
        subject.start(framework, url)
        if self._dispatcher is not None:
            self._dispatcher.started()

    @property
    def config(self) -> Any:
        """What each run is given: None for LlamaIndex."""
        return self.subject.config if self._dispatcher is None else None

    def off(self) -> None:
        if self._dispatcher is None:
            self.subject.pause()
        else:
            self._dispatcher.take_off()

    def on(self) -> None:
        if self._dispatcher is None:
            self.subject.resume()
        else:
            self._dispatcher.put_back()


class _Dispatcher:
    """LlamaIndex's root dispatcher, and those of its handlers that came between the constructor and `started`."""

    _LISTS = ("event_handlers", "span_handlers")

    def __init__(self) -> None:
        from llama_index.core.instrumentation import get_dispatcher

        self._root = get_dispatcher()
        self._before = self._handlers()
        self._mine: dict[str, list[Any]] = {}

    def started(self) -> None:
        self._mine = {name: _without(now, self._before[name]) for name, now in self._handlers().items()}

    def take_off(self) -> None:
        for name, now in self._handlers().items():
            setattr(self._root, name, _without(now, self._mine[name]))

    def put_back(self) -> None:
        for name, now in self._handlers().items():
            setattr(self._root, name, [*now, *self._mine[name]])

    def _handlers(self) -> dict[str, list[Any]]:
        return {name: list(getattr(self._root, name)) for name in self._LISTS}


def _without(handlers: list[Any], others: list[Any]) -> list[Any]:
    """Those of `handlers` that are none of `others`, as objects: pydantic's models are equal if their fields are."""
    return [h for h in handlers if not any(h is other for other in others)]
