"""What asks for OpenTelemetry's context at each token of a stream."""

import contextvars

from opentelemetry import context
from opentelemetry.context import Context, attach, detach, get_current, set_value
from spanloom.current import context_reader


def test_a_reader_tells_the_context_of_whoever_asks():
    current = context_reader()
    assert current() == get_current()
    inside = set_value("key", "value")
    token = attach(inside)
    try:
        assert current() is get_current() is inside
        assert contextvars.copy_context().run(current) is inside
        assert contextvars.Context().run(current) == contextvars.Context().run(get_current) == Context()
    finally:
        detach(token)
    assert current() is get_current()


def test_where_contexts_are_kept_elsewhere_the_public_way_is_taken(monkeypatch):
    class Elsewhere:
        said = Context({"kept": "elsewhere"})

        def get_current(self):
            return self.said

    monkeypatch.setattr(context, "_RUNTIME_CONTEXT", Elsewhere())
    assert context_reader()() is Elsewhere.said
