"""What became of one batch: told piece by piece, the last word perhaps long after it was handed on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

Listener = Callable[[int, Counter[str]], object]
"""`listener(exported, failed)`: how many more were taken, and how many more were lost, by reason."""


class Receipt:
    """Counts the `items` of one batch down, from whichever thread: `took` those that a receiver has, `lost` the rest.

    More than there are left is not counted: a receiver may claim anything.
    """

    def __init__(self, items: int) -> None:
        self.left = items
        self._exported, self._failed = 0, Counter[str]()
        self._listener: Listener | None = None
        self._lock = threading.Lock()

    def took(self, items: int) -> None:
        self._count(items, None)

    def lost(self, items: int, reason: str) -> None:
        self._count(items, reason)

    def lost_rest(self, reason: str) -> None:
        """Whatever nothing was said of."""
        self._count(self.left, reason)

    def tell(self, listener: Listener) -> None:
        """Tell `listener` what is known already, and then whatever comes."""
        with self._lock:
            self._listener = listener
            exported, failed = self._exported, self._failed
        if exported or failed:
            listener(exported, failed)

    def _count(self, items: int, reason: str | None) -> None:
        with self._lock:
            items = min(items, self.left)
            if items <= 0:
                return
            self.left -= items
            exported, failed = (items, Counter[str]()) if reason is None else (0, Counter({reason: items}))
            self._exported += exported
            self._failed += failed
            listener = self._listener
        if listener is not None:
            listener(exported, failed)
