"""Who a run belongs to is the same, be it read from its metadata or taken from the step around it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from spanloom import using
from spanloom.identity import NOBODY, Identity, current_identity
from spanloom_langchain.labels import graph_place, identity_of

few = st.sampled_from(["", "a", "b"])
values = few | st.sampled_from([True, 1, 1.0, None]) | st.lists(few, max_size=1)
metadata = st.dictionaries(
    st.sampled_from([
        "user_id", "langfuse_user_id", "session_id", "thread_id", "tenant", "prompt_name", "lc_hub_repo",
        "langfuse_tags", "feature", "more", "ls_provider", "langgraph_node", "langgraph_step", "__own",
    ]),
    values, max_size=5,
)  # fmt: skip
tags = st.lists(st.sampled_from(["a", "b", "seq:step:1", "graph:step:2"]), max_size=3)
who = st.none() | few


@settings(max_examples=300)
@given(st.lists(st.tuples(metadata, tags), min_size=1, max_size=3), who, who, tags, st.dictionaries(few, few))
def test_what_a_run_inherits_comes_out_as_what_it_says_itself(inherited, user, tenant, extra, more):
    with using(user_id=user, tenant=tenant, tags=extra, metadata=more):
        above = NOBODY
        for said, own in [*inherited, inherited[-1], inherited[0]]:  # the same again, and one from further up
            around = above.overlaid(current_identity())
            read, taken = identity_of(said, own), identity_of(said, own, above)
            expected = around.overlaid(read)
            assert told(around.overlaid(taken)) == told(expected)
            if taken is above and above is not NOBODY:  # nobody may be one of whom `using` says something
                assert told(above) == told(expected)
            above = expected


def told(identity):
    """What it says: an empty text is as good as none."""
    return (
        identity.user_id or None, identity.session_id or None, identity.tenant or None,
        identity.tags, repr(identity.metadata), identity.prompt,
    )  # fmt: skip


def test_a_run_that_says_nothing_new_has_the_very_identity_and_place_of_the_step_around_it():
    said = {"user_id": "u", "feature": "search", "thread_id": "t", "langgraph_node": "n", "langgraph_step": 1}
    above, place = identity_of(said, ["beta"]), graph_place(said)
    assert above == Identity("u", "t", ("beta",), {"feature": "search"})
    below = {**said, "ls_provider": "openai", "checkpoint_ns": "n:1"}
    assert identity_of(below, ["seq:step:1", "beta"], above) is above
    assert graph_place(below, place) is place
    assert identity_of({**below, "user_id": "v"}, ["beta"], above).user_id == "v"
    assert graph_place({**below, "langgraph_step": 2}, place)["step"] == 2
