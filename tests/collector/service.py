"""One service of an application, in a process of its own: `service.py NAME COLLECTOR`.

Each line of standard input is a call as JSON: `{"parent": traceparent or null, "outcome": "ok" | "error", "seconds": …,
"said": …}`. It runs a chain with a model and a tool below that parent, and prints the traceparent within, so that the
next service goes on below. At the end of input it flushes and says how many spans it could not deliver.
"""

from __future__ import annotations

import json
import sys

import spanloom
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from opentelemetry import context, propagate, trace
from spanloom_langchain import instrument


class Echo(BaseChatModel):
    @property
    def _llm_type(self):
        return "echo"

    def _generate(self, messages, stop=None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs):
        usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        answer = AIMessage(str(messages[-1].content), usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def call(name, tracer, given):
    """One call, and the carrier of its context."""
    carrier = {}

    def answer(said):
        propagate.inject(carrier)
        if given["seconds"]:  # in the past: nobody waits
            now = trace.get_current_span().start_time
            tracer.start_span("far away", start_time=now - int(given["seconds"] * 1e9)).end(now)
        if given["outcome"] == "error":
            raise ValueError(said)
        return said

    chain = Echo(name=f"{name} model") | RunnableLambda(lambda m: answer(m.content), name=f"{name} answer")
    above = {"traceparent": given["parent"]} if given["parent"] else {}
    token = context.attach(propagate.extract(above))
    try:
        with spanloom.using(user_id="ann@example.org", session_id="s1", metadata={"phone": "+49 30 901820"}):
            chain.invoke(given["said"], {"run_name": name})
    except ValueError:
        pass
    finally:
        context.detach(token)
    return carrier["traceparent"]


def main(name, url):
    loom = spanloom.configure(spanloom.Otlp(url, behind_collector=True), service_name=name)
    instrument()
    tracer = loom.tracer_provider.get_tracer("far")
    for line in sys.stdin:
        print(call(name, tracer, json.loads(line)), flush=True)
    print(json.dumps({"flushed": loom.flush(30), "stats": str(loom.stats())}), flush=True)
    loom.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
