"""A chain behind gunicorn. The master loads it once, and every worker that it forks sends what it traced itself.

gunicorn --config gunicorn.conf.py gunicorn_app:app
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import spanloom
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from spanloom_langchain import SpanloomCallbackHandler

loom = spanloom.configure(service_name="shop")

prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("user", "{question}")])
model = FakeListChatModel(responses=["Within thirty days."])
chain = (prompt | model | StrOutputParser()).with_config(run_name="answer")
handler = SpanloomCallbackHandler()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    question = parse_qs(environ["QUERY_STRING"]).get("question", ["How long may I send a parcel back?"])[0]
    answer = chain.invoke({"question": question}, config={"callbacks": [handler]})
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [answer.encode()]


app = OpenTelemetryMiddleware(application, tracer_provider=loom.tracer_provider)
