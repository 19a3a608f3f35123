"""Slow roots: a quantile of their own name's durations, within the sketch's bound, once enough were seen."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spanloom import TailSampling
from spanloom.sampling.slow import ACCURACY, LONGEST_WINDOW_SECONDS, MOST_NAMES, WINDOW_SECONDS, Quantile
from spanloom.step import Kind, Step
from spanloom.testing import Memory

S = 1_000_000_000


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def exact(values, quantile):
    return sorted(values)[int(quantile * (len(values) - 1))]


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("shape", ["lognormal", "exponential", "two humps", "constant"])
def test_the_quantile_is_within_the_sketchs_bound_of_the_exact_one(quantile, shape):
    chance = random.Random(f"{quantile} {shape}")
    draw = {
        "lognormal": lambda: chance.lognormvariate(0, 1.5),
        "exponential": lambda: chance.expovariate(0.5),
        "two humps": lambda: chance.gauss(0.2, 0.01) if chance.random() < 0.97 else chance.gauss(30, 2),
        "constant": lambda: 1.25,
    }[shape]
    slow, values = Quantile(quantile), []
    for n in range(1, 20_001):
        values.append(max(0.0, draw()))
        slow.learn("root", values[-1])
        if n in (slow.warm_up, 5_000, 20_000):
            assert slow.estimate("root") == pytest.approx(exact(values, quantile), rel=ACCURACY * 1.0001)


@settings(max_examples=50)
@given(st.lists(st.floats(1e-6, 1e6), min_size=50, max_size=300), st.sampled_from([0.5, 0.9, 0.95]))
def test_whatever_the_durations_are(values, quantile):
    slow = Quantile(quantile)
    for value in values:
        slow.learn("root", value)
    assert slow.estimate("root") == pytest.approx(exact(values, quantile), rel=ACCURACY * 1.0001)


def test_nothing_is_slow_until_enough_roots_of_the_name_were_seen():
    slow = Quantile(0.99)
    assert slow.warm_up == 200
    assert [slow.learn("root", 1.0 if n < 199 else 99.0) for n in range(200)] == [False] * 200
    assert not slow.learn("root", 1.0)
    assert slow.learn("root", 99.9)
    assert not slow.learn("other", 1e6)
    assert (Quantile(0.95).warm_up, Quantile(0.999).warm_up) == (50, 2000)


def test_about_one_in_a_hundred_is_slow_at_p99():
    slow, chance = Quantile(0.99), random.Random(2)
    found = sum(slow.learn("root", chance.lognormvariate(0, 1)) for _ in range(20_000))
    assert 130 < found < 290


def test_yesterdays_traffic_does_not_hold_for_ever():
    clock = Clock()
    slow = Quantile(0.95, clock)

    def traffic(seconds, count=200):
        for _ in range(count):
            slow.learn("root", seconds)

    traffic(10.0)
    clock.now += WINDOW_SECONDS
    traffic(1.0)
    assert slow.threshold("root") == pytest.approx(10.0, rel=0.03)
    clock.now += WINDOW_SECONDS
    traffic(1.0)
    assert slow.threshold("root") == pytest.approx(1.0, rel=0.03)


def test_a_little_traffic_is_remembered_for_longer_but_not_for_ever():
    clock = Clock()
    slow = Quantile(0.95, clock)
    for _ in range(60):
        slow.learn("root", 10.0)
        clock.now += WINDOW_SECONDS / 10
    assert slow.threshold("root") == pytest.approx(10.0, rel=0.03)
    clock.now += 2 * LONGEST_WINDOW_SECONDS
    slow.learn("root", 1.0)
    clock.now += LONGEST_WINDOW_SECONDS
    slow.learn("root", 1.0)
    assert slow.threshold("root") is None


def test_names_are_bounded_and_the_ones_not_seen_for_longest_are_forgotten():
    slow = Quantile(0.5)
    for _ in range(100):
        slow.learn("kept", 1.0)
    for n in range(3 * MOST_NAMES):
        slow.learn(f"GET /users/{n}", 1.0)
        if n % 50 == 0:
            slow.learn("kept", 1.0)
    assert len(slow._names) == MOST_NAMES
    assert slow.threshold("kept") == pytest.approx(1.0, rel=0.03)


def test_slow_traces_are_kept_by_their_own_names_quantile(configured):
    memory = Memory(sampling=TailSampling(keep=0, slower_than="p95", hold_seconds=0))
    loom = configured(memory)

    def run(name, seconds, count=1):
        for n in range(count):
            start = time.time_ns() - 100 * S
            loom.recorder.open(Step((name, seconds, n), Kind.CHAIN, name, start_ns=start))
            loom.recorder.close((name, seconds, n), end_ns=start + int(seconds * S))

    run("fast", 0.1, 100)
    run("long", 10.0, 100)
    run("fast", 5.0)
    run("long", 9.0)
    run("long", 20.0)
    run("new", 90.0)
    assert loom.flush()
    kept = [(e.step.name, (e.step.end_ns - e.step.start_ns) // S, e.kept_for("memory").reason) for e in memory.spans]
    assert kept == [("fast", 5, "slow"), ("long", 20, "slow")]
