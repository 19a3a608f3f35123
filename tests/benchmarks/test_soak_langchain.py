"""A long life: after ten thousand runs, a third of them failing or left, nothing is open and memory is flat."""

from __future__ import annotations

import gc
import sys

import pytest
import spanloom
from langchain_core.runnables import RunnableLambda
from spanloom.destinations.delivery import Delivery
from spanloom_langchain import SpanloomCallbackHandler

from tests.integrations.langchain.fakes import Chat, Shelf

RUNS = 10_000


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


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_ten_thousand_runs_a_third_of_them_failing_or_left_leave_memory_flat():
    with spanloom.configure(Nothing()) as loom:
        config = {"callbacks": [SpanloomCallbackHandler(loom)]}
        chain = RunnableLambda(lambda x: x, name="a") | RunnableLambda(lambda x: x, name="b")
        failing = RunnableLambda(lambda x: {}[x], name="failing")
        model = Chat()

        def run(n):
            if n % 6 == 0:
                next((chain | model).stream("x", config))
            elif n % 6 == 3:
                with pytest.raises(KeyError):
                    failing.invoke("x", config)
            elif n % 6 == 1:
                Shelf().invoke("x", config)
            else:
                chain.invoke("x", config)

        for n in range(RUNS):  # until what is remembered of ended runs has reached its bound
            run(n)
        assert loom.flush(60)
        before = own_bytes()
        for n in range(RUNS):
            run(n)
        assert loom.flush(60)
        after = own_bytes()
        assert loom.stats()["steps"]["open"] == 0
    assert after < before * 1.03 + 100_000, f"{before} -> {after} bytes"
