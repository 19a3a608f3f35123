"""A service of its own process: a chain behind LangServe and a graph behind LangGraph's run API, both traced.

python remote_server.py PORT OTLP_URL
"""

from __future__ import annotations

import json
import operator
import sys
import warnings
from typing import Annotated, TypedDict

import spanloom
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from langserve import add_routes
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from spanloom_langchain import instrument


class State(TypedDict):
    seen: Annotated[list, operator.add]


def make_graph():
    graph = StateGraph(State)
    graph.add_node("far_node", lambda state: {"seen": ["far"]})
    graph.add_edge(START, "far_node")
    return graph.compile(name="far_graph")


def make_app() -> FastAPI:
    app = FastAPI()
    add_routes(app, RunnableLambda(lambda x: f"far {x}", name="far_chain"), path="/chain")
    graph = make_graph()

    @app.post("/runs/stream")
    async def run(request: Request) -> StreamingResponse:
        given = (await request.json())["input"]
        values = await graph.ainvoke(given)

        async def events():
            yield f"event: values\ndata: {json.dumps(values)}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.get("/ready")
    async def ready() -> str:
        return "ready"

    return app


def main(port: int, otlp_url: str) -> None:
    loom = spanloom.configure(spanloom.Otlp(otlp_url), service_name="far")
    instrument(loom)
    app = OpenTelemetryMiddleware(make_app(), tracer_provider=loom.tracer_provider, excluded_urls="ready")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
    loom.shutdown()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # LangServe's own
    main(int(sys.argv[1]), sys.argv[2])
