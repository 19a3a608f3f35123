"""Names that come again are told by what was said of them before, and by nothing else."""

from hypothesis import given
from hypothesis import strategies as st
from spanloom.content.bare import Bare
from spanloom.destinations.names import _TASK, _less_tasks


class Unhashable(str):
    __slots__ = ()
    __hash__ = None


words = st.text(max_size=8) | st.sampled_from(["find_order", "ann@example.com", "x" * 600])
names = words | st.none() | st.integers(0, 2) | st.builds(Unhashable, words)
TASK = "0b3e4a52-5c1d-4f6a-9b7e-8d9c0a1b2c3d"


@given(st.lists(st.tuples(names, names, names), max_size=20))
def test_names_are_known_together_as_they_are_one_by_one(said):
    bare = Bare(lambda name: "@" not in name)
    for some in said + said:
        one_by_one = all(not name or (type(name) is str and "@" not in name) for name in some)
        assert bare.all(some) == (one_by_one and not any(type(name) is Unhashable for name in some))


def test_of_names_that_are_made_up_as_they_go_no_more_is_kept_than_a_thousand_short_ones():
    bare = Bare(lambda name: True)
    for n in range(2_500):
        assert bare.all((f"name {n}", None))
        assert bare.all((f"{n}" * 600,))
    assert len(bare._known) <= 1_000
    assert all(len(name) <= 512 for some in bare._known for name in some if name)


places = st.lists(st.sampled_from(["model", "tools", ":", "|", f":{TASK}", TASK, "", "\n"]), max_size=6).map("".join)


@given(places)
def test_a_place_in_a_graph_is_told_without_the_ids_of_its_tasks(place):
    assert _less_tasks(place) == _TASK.sub(":", place)
