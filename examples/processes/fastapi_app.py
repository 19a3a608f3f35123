"""A chain behind FastAPI that streams its answer: tracing begins and ends with the server.

uvicorn fastapi_app:app --reload
uvicorn fastapi_app:app --workers 2
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import spanloom
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from spanloom.fastapi import lifespan
from spanloom_langchain import SpanloomCallbackHandler


def configure() -> spanloom.Loom:
    """In each process that serves, when it starts."""
    return spanloom.configure(service_name="shop")


@asynccontextmanager
async def resources(app: FastAPI) -> AsyncIterator[dict[str, Any]]:  # noqa: ARG001
    """The application's own lifespan."""
    prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("user", "{question}")])
    model = GenericFakeChatModel(messages=iter(lambda: "Within thirty days.", None))
    yield {"chain": (prompt | model | StrOutputParser()).with_config(run_name="answer")}


app = FastAPI(lifespan=lifespan(configure, resources))


@app.get("/answer")
async def answer(request: Request, question: str = "How long may I send a parcel back?") -> StreamingResponse:
    chain = request.state.chain
    config = {"callbacks": [SpanloomCallbackHandler()]}
    return StreamingResponse(chain.astream({"question": question}, config=config), media_type="text/plain")
