"""What a long life leaves behind."""

from __future__ import annotations

import gc
import sys

from spanloom.destinations.delivery import Delivery


class Nothing:
    """A destination that forgets: what grows is Spanloom's own."""

    name = "nothing"

    def open(self, resource, tick):
        return Delivery(self.name, len, tick=tick)

    def close(self):
        pass


def own_bytes():
    """Bytes of all objects that the garbage collector knows, which is where state would gather."""
    gc.collect()
    return sum(sys.getsizeof(o) for o in gc.get_objects())


def growth(run, settle, warm_up, runs):
    """How many bytes `runs` calls of `run(n)` leave behind, after `warm_up` calls; and how many there were before."""
    for n in range(warm_up):  # until what is remembered of ended runs has reached its bound
        run(n)
    settle()
    before = own_bytes()
    for n in range(runs):
        run(n)
    settle()
    return own_bytes() - before, before
