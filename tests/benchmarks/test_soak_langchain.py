"""A long life: after ten thousand runs, a third of them failing or left, nothing is open and memory is flat."""

from __future__ import annotations

import pytest
import spanloom
from langchain_core.runnables import RunnableLambda
from spanloom_langchain import SpanloomCallbackHandler

from tests.benchmarks.memory import Nothing, growth
from tests.integrations.langchain.fakes import Chat, Shelf


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

        grown, before = growth(run, lambda: loom.flush(60), warm_up=10_000, runs=10_000)
        assert loom.stats()["steps"]["open"] == 0
    assert grown < before * 0.03 + 100_000, f"{before} bytes and then {grown} more"
