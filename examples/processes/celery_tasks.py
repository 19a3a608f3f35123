"""A chain in a Celery task: one trace from the producer's call to the model, sent before a worker's child ends.

    celery -A celery_tasks worker --concurrency 2 --max-tasks-per-child 3
    python celery_tasks.py

Celery's own instrumentation carries the trace to the worker. The broker is a folder; any other takes its place.
"""

from pathlib import Path

import spanloom
import spanloom.celery
from celery import Celery
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from spanloom_langchain import SpanloomCallbackHandler

app = Celery("celery_tasks", broker="filesystem://", backend="file://results")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control", "store_processed": False,
}  # fmt: skip
for folder in ("queue", "control", "results"):
    Path(folder).mkdir(exist_ok=True)

loom = spanloom.configure(service_name="shop")  # the children that the worker forks have it too
spanloom.celery.connect()  # and send what they traced before they end
CeleryInstrumentor().instrument(tracer_provider=loom.tracer_provider)

prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("user", "{question}")])
model = FakeListChatModel(responses=["Within thirty days."])
chain = (prompt | model | StrOutputParser()).with_config(run_name="answer")


@app.task
def answer(question: str) -> str:
    return chain.invoke({"question": question}, config={"callbacks": [SpanloomCallbackHandler()]})


def main() -> None:
    asked = [answer.delay(f"How long may I send parcel {n} back?") for n in range(7)]
    for result in asked:
        print(result.get(timeout=60))


if __name__ == "__main__":
    main()
