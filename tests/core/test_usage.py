"""One usage, two views: totals that contain their subsets, and buckets that share no token."""

from hypothesis import given
from hypothesis import strategies as st
from spanloom.usage import Usage

counts = st.none() | st.integers(0, 10**9)
usages = st.builds(Usage, **dict.fromkeys(Usage.__slots__, counts))


@given(usages)
def test_disjoint_buckets_add_up_to_the_total(usage):
    assert sum(usage.disjoint().values()) == (usage.total_tokens or 0)


@given(usages)
def test_no_bucket_is_negative_or_larger_than_its_total(usage):
    buckets = usage.disjoint()
    assert all(count >= 0 for count in buckets.values())
    for total, names in (
        (usage.input_tokens, ("input", "cache_read", "cache_write")),
        (usage.output_tokens, ("output", "reasoning")),
    ):
        assert sum(buckets.get(name, 0) for name in names) == (total or 0)


@given(usages)
def test_the_inclusive_view_says_what_the_provider_said_and_no_zero_of_its_own(usage):
    view = usage.inclusive()
    assert {name for name in Usage.__slots__ if getattr(usage, name) is not None} == set(view)
    assert all(count <= getattr(usage, name) for name, count in view.items())
    for total in ("input_tokens", "output_tokens"):
        assert view.get(total) == getattr(usage, total)
    assert bool(usage) is bool(view)


@given(usages)
def test_subsets_never_exceed_their_total(usage):
    view = usage.inclusive()
    for total, *parts in (
        ("input_tokens", "cache_read_tokens", "cache_write_tokens"),
        ("input_tokens", "audio_input_tokens", "text_input_tokens", "image_input_tokens"),
        ("cache_write_tokens", "cache_write_1h_tokens"),
        ("output_tokens", "reasoning_tokens"),
        ("output_tokens", "audio_output_tokens", "text_output_tokens", "image_output_tokens"),
    ):
        if total in view:
            assert sum(view.get(part, 0) for part in parts) <= view[total]


@given(usages)
def test_both_views_agree(usage):
    view, buckets = usage.inclusive(), usage.disjoint()
    if usage.input_tokens is not None:
        assert buckets.get("cache_read", 0) == view.get("cache_read_tokens", 0)
        assert buckets.get("cache_write", 0) == view.get("cache_write_tokens", 0)
    if usage.output_tokens is not None:
        assert buckets.get("reasoning", 0) == view.get("reasoning_tokens", 0)


def test_cached_and_reasoning_tokens_leave_the_totals():
    assert Usage(100, 50, cache_read_tokens=30, cache_write_tokens=10, reasoning_tokens=20).disjoint() == {
        "cache_read": 30,
        "cache_write": 10,
        "input": 60,
        "reasoning": 20,
        "output": 30,
    }


def test_a_subset_larger_than_its_total_is_cut():
    assert Usage(10, 5, cache_read_tokens=50, reasoning_tokens=9).disjoint() == {
        "cache_read": 10,
        "input": 0,
        "reasoning": 5,
        "output": 0,
    }


def test_a_provider_that_says_nothing_is_not_a_provider_that_says_zero():
    assert Usage().total_tokens is None
    assert not Usage()
    assert Usage(0, 0)
    assert Usage(0, 0).disjoint() == {"input": 0, "output": 0}
