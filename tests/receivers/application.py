"""The application whose traces the receivers are asked about: an agent in LangChain and a query in LlamaIndex.

Both use the frameworks' real OpenAI clients, streaming, against a server on this machine whose answers and counts of
tokens are fixed: cached and reasoning tokens among them.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import spanloom
from genai_prices import Usage, calc_price
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever as LlamaRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.openai import OpenAI
from spanloom.testing import strict
from spanloom_langchain import SpanloomCallbackHandler
from spanloom_llama_index import instrument, uninstrument

MODEL = "gpt-4o-mini"
QUESTION = "How many cups are left?"
ANSWER = "There are 12 cups left."
HOPELESS = "How many unicorns are left?"
SHELVES = [("There are 12 cups.", "cups.md", 0.9), ("There are no plates.", "plates.md", 0.4)]
CALLING = {"prompt": 100, "cached": 40, "completion": 20, "reasoning": 0}
ANSWERING = {"prompt": 150, "cached": 64, "completion": 30, "reasoning": 10}

SPANS = 17
_MODEL_CALL = ("model", "CHAIN", [("ChatOpenAI", "LLM", [])])
TREES = [  # (name, OpenInference's kind, [below])
    (
        "shopkeeper",
        "AGENT",
        [_MODEL_CALL, ("tools", "CHAIN", [("stock", "TOOL", [("Shelf", "RETRIEVER", [])])]), _MODEL_CALL],
    ),
    ("shopkeeper", "AGENT", [_MODEL_CALL, ("tools", "CHAIN", [("stock", "TOOL", [])])]),
    (
        "RetrieverQueryEngine.query",
        "CHAIN",
        [
            ("LlamaShelf.retrieve", "RETRIEVER", []),
            ("CompactAndRefine.synthesize", "CHAIN", [("OpenAI.stream_chat", "LLM", [])]),
        ],
    ),
]


def price(*calls):
    """What genai-prices says of these calls, in US dollars."""
    total = Decimal(0)
    for counts in calls:
        usage = Usage(
            input_tokens=counts["prompt"], cache_read_tokens=counts["cached"], output_tokens=counts["completion"]
        )
        total += calc_price(usage, model_ref=MODEL, provider_id="openai").total_price
    return float(total)


def run(destination, *, ann, bob):
    """One configuration, three requests: Ann's agent answers, Ann's agent fails, Bob's query is answered.

    `ann` and `bob` are the ids of their sessions. Returns the closed loom.
    """
    with strict(), serving() as url:
        from opentelemetry.sdk.trace import TracerProvider

        provider = TracerProvider(shutdown_on_exit=False)
        loom = spanloom.configure(destination, service_name="shop", tracer_provider=provider)
        try:
            with spanloom.using(user_id="ann", session_id=ann, tags=["beta"], metadata={"feature": "stock"}):
                looked_up.clear()
                answer, trace_id = ask_langchain(url, QUESTION)
                assert answer == ANSWER
                loom.score("helpful", True, trace_id=trace_id, comment="short and clear")
                loom.score("fresh", 0.9, step=looked_up[0])
                try:
                    ask_langchain(url, HOPELESS)
                except LookupError:
                    pass
                else:
                    raise AssertionError("the tool was to fail")
            with spanloom.using(user_id="bob", session_id=bob, prompt=("rag", 3)):
                assert ask_llama_index(url, QUESTION) == ANSWER
        finally:
            delivered = loom.shutdown(30.0)
        assert delivered, loom.stats()
    return loom


# ---------------------------------------------------------------- LangChain
class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(text, id=name, metadata={"source": name, "score": score}) for text, name, score in SHELVES]


looked_up = []  # the steps of the tool's calls


@tool
def stock(query: str) -> str:
    """Looks up what is in stock."""
    looked_up.append(spanloom.current_step())
    if "unicorn" in query:
        raise LookupError(f"nothing known of {query!r}")
    return "\n".join(document.page_content for document in Shelf().invoke(query))


def ask_langchain(url, question):
    """The agent's answer, and the id of its trace."""
    model = ChatOpenAI(model=MODEL, base_url=url, api_key="none", temperature=0.2, stream_usage=True)
    agent = create_agent(model, [stock], system_prompt="You know the shop.", name="shopkeeper")
    handler = SpanloomCallbackHandler()
    stream = agent.stream({"messages": [("user", question)]}, config={"callbacks": [handler]}, stream_mode="messages")
    answer = "".join(message.text for message, _ in stream if message.type == "AIMessageChunk")
    return answer, handler.last_trace_id


# ---------------------------------------------------------------- LlamaIndex
class LlamaShelf(LlamaRetriever):
    def _retrieve(self, query_bundle):
        return [
            NodeWithScore(node=TextNode(text=text, id_=name, metadata={"source": name}), score=score)
            for text, name, score in SHELVES
        ]


def ask_llama_index(url, question):
    options = {"stream_options": {"include_usage": True}}
    model = OpenAI(model=MODEL, api_base=url, api_key="none", temperature=0.2, additional_kwargs=options)
    instrument()
    try:
        engine = RetrieverQueryEngine.from_args(LlamaShelf(), llm=model, streaming=True)
        return "".join(engine.query(question).response_gen)
    finally:
        uninstrument()


# ---------------------------------------------------------------- the model
class _Model(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
        head["model"] = f"{request['model']}-2024-07-18"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in _chunks(request):
            self.wfile.write(f"data: {json.dumps({**head, **chunk})}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        pass


def _chunks(request):
    last = request["messages"][-1]
    calls = bool(request.get("tools")) and last["role"] != "tool"
    if calls:
        function = {"name": "stock", "arguments": json.dumps({"query": last["content"]})}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        deltas = [{"role": "assistant", "content": None}, {"tool_calls": [call]}]
    else:
        words = re.findall(r"\S+\s*", ANSWER)
        deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
    for delta in deltas:
        yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}
    counts = CALLING if calls else ANSWERING
    usage = {
        "prompt_tokens": counts["prompt"],
        "completion_tokens": counts["completion"],
        "total_tokens": counts["prompt"] + counts["completion"],
        "prompt_tokens_details": {"cached_tokens": counts["cached"]},
        "completion_tokens_details": {"reasoning_tokens": counts["reasoning"]},
    }
    yield {"choices": [], "usage": usage}


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Model)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
