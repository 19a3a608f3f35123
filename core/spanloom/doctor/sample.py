"""One synthetic trace, made the way real ones are: a chain with one model call."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import format_trace_id

from ..ended import Ended
from ..live import LiveSpans
from ..recorder import Recorder
from ..step import Content, Kind, Message, Step, Text
from ..usage import Usage
from ..weave import SCOPE, weave_of

RESOURCE = Resource.create({"service.name": "spanloom-doctor"})


@dataclass(frozen=True, slots=True)
class Sample:
    """The trace's id in hexadecimal, and its ended spans."""

    trace_id: str
    spans: list[Ended]


class _Kept(list[Ended]):
    def put(self, ended: Ended) -> None:
        self.append(ended)


def make_sample() -> Sample:
    """A new trace; nothing of it is the user's."""
    provider = TracerProvider(resource=RESOURCE, sampler=ALWAYS_ON, shutdown_on_exit=False)
    weave, kept = weave_of(provider), _Kept()
    weave.sinks = (kept,)
    recorder = Recorder(LiveSpans(provider, provider.get_tracer(SCOPE), weave), weave)
    top = recorder.open(Step("top", Kind.CHAIN, "spanloom doctor", content=Content(input="Are you there?")))
    assert top is not None
    call = Step("call", Kind.LLM, "doctor", provider="spanloom", request_model="none", usage=Usage(4, 3))
    call.content.input_messages = (Message("user", (Text("Are you there?"),)),)
    call.content.output_messages = (Message("assistant", (Text("I am."),), finish_reason="stop"),)
    recorder.open(call, parent="top")
    recorder.close("call")
    top.content.output = "I am."
    recorder.close("top")
    return Sample(format_trace_id(top.trace_id), list(kept))
