"""A local server that speaks OpenAI's chat completions, streaming included: `POST /v1/chat/completions`."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from model import Answer, ExtractiveModel

_FIRST_TOKEN_SECONDS = 0.06  # a real model takes longer, for both
_CHUNK_SECONDS = 0.002


class _Handler(BaseHTTPRequestHandler):
    model: ExtractiveModel

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if not self.path.endswith("/chat/completions"):
            self.send_error(404, "only /v1/chat/completions is served")
            return
        time.sleep(_FIRST_TOKEN_SECONDS)
        answer = self.model.answer(request)
        head = {
            "id": f"chatcmpl-{time.time_ns():x}",
            "created": int(time.time()),
            "model": request.get("model", "demo"),
        }
        self.send_response(200)
        if not request.get("stream"):
            body = json.dumps({**head, "object": "chat.completion", **_whole(answer)}).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        usage = bool((request.get("stream_options") or {}).get("include_usage"))
        for chunk in _chunks(answer, usage):
            data = {**head, "object": "chat.completion.chunk", **chunk}
            self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()
            time.sleep(_CHUNK_SECONDS)
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        pass


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def _call(**more: Any) -> dict[str, Any]:
    return {"id": f"call_{time.time_ns():x}", "type": "function", **more}


def _whole(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool:
        message["tool_calls"] = [_call(function={"name": answer.tool, "arguments": answer.arguments})]
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(answer)}],
        "usage": _usage(answer),
    }


def _chunks(answer: Answer, usage: bool) -> Iterator[dict[str, Any]]:
    """A tool call comes as its name and then its arguments in pieces, a text word by word, as OpenAI's do."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if answer.tool else ""}]
    if answer.tool:
        first = _call(index=0, function={"name": answer.tool, "arguments": ""})
        pieces = [{"index": 0, "function": {"arguments": p}} for p in re.findall(r"\S+\s*", answer.arguments)]
        deltas += [{"tool_calls": [call]} for call in (first, *pieces)]
    deltas += [{"content": word} for word in re.findall(r"\S+\s*", answer.text)]
    for delta in deltas:
        yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": _finish(answer)}]}
    if usage:
        yield {"choices": [], "usage": _usage(answer)}


@contextmanager
def serving() -> Iterator[str]:
    """Serve on 127.0.0.1 while the block runs; gives the base address for a client, which ends in `/v1`."""
    handler = type("Handler", (_Handler,), {"model": ExtractiveModel()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
