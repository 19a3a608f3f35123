"""A Langfuse that reads OTLP the way server 4.16 does and refuses what that refuses.

What each field is read from stands in ../shared/reference/langfuse-mapping.md."""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import sinks
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

PUBLIC, SECRET = "pk-lf-sink", "sk-lf-sink"
_KEYS = "Basic " + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
_TYPES = {"span", "generation", "event", "embedding", "agent", "tool", "chain", "retriever", "guardrail", "evaluator"}
_OPERATIONS = {
    **dict.fromkeys(("chat", "completion", "text_completion", "generate_content", "generate"), "generation"),
    **dict.fromkeys(("invoke_agent", "create_agent"), "agent"),
    "embeddings": "embedding",
    "execute_tool": "tool",
}


class Observation:
    """One span as the server would show it: each field by the first key that it finds."""

    def __init__(self, span):
        a = span.attributes
        self.id, self.trace_id, self.parent = span.span_id, span.trace_id, span.parent or None
        self.start_ns, self.end_ns, self.attributes = span.start_ns, span.end_ns, a
        self.type = self._type(a)
        self.name = a.get("gen_ai.tool.name") or span.name
        self.model = first(a, "langfuse.observation.model.name", "gen_ai.response.model", "gen_ai.request.model")
        self.parameters = parsed(a.get("langfuse.observation.model.parameters"))
        self.usage = parsed(a.get("langfuse.observation.usage_details")) or {}
        self.cost = parsed(a.get("langfuse.observation.cost_details")) or {}
        if a.get("gen_ai.operation.name") == "invoke_agent":
            self.model, self.usage, self.cost = None, {}, {}
        self.input, self.output = self._input_output(a)
        self.level = a.get("langfuse.observation.level") or ("ERROR" if span.status == 2 else "DEFAULT")
        self.status_message = a.get("langfuse.observation.status_message") or span.description or None
        self.first_token = self._time(a.get("langfuse.observation.completion_start_time"))
        self.prompt = self._prompt(a) if self.type == "generation" else None
        self.user, self.session = (
            first(a, "langfuse.user.id", "user.id"),
            first(a, "langfuse.session.id", "session.id", "gen_ai.conversation.id"),
        )
        self.tags = a.get("langfuse.trace.tags") or []
        self.trace_name = a.get("langfuse.trace.name")
        self.environment = a.get("langfuse.environment") or "default"
        self.app_root = bool(a.get("langfuse.internal.is_app_root"))
        self.metadata = self._metadata(a)

    @staticmethod
    def _type(a):
        said = a.get("langfuse.observation.type")
        if said in _TYPES:
            return said
        if (operation := _OPERATIONS.get(a.get("gen_ai.operation.name"))) is not None:
            return operation
        return "generation" if any("model" in key for key in a) else "span"

    @staticmethod
    def _input_output(a):
        said = a.get("langfuse.observation.input"), a.get("langfuse.observation.output")
        if any(value is not None for value in said):
            return tuple(parsed(value) for value in said)
        prompt = {key: value for key, value in a.items() if key.startswith("gen_ai.prompt")}
        if prompt:
            return prompt, None
        return parsed(a.get("gen_ai.input.messages")), parsed(a.get("gen_ai.output.messages"))

    @staticmethod
    def _time(said):
        return None if not isinstance(said, str) else datetime.fromisoformat(said).timestamp() * 1e9

    @staticmethod
    def _prompt(a):
        name, version = a.get("langfuse.observation.prompt.name"), a.get("langfuse.observation.prompt.version")
        assert version is None or isinstance(version, int), "a version that is no int drops the observation"
        return None if name is None else (name, version)

    @staticmethod
    def _metadata(a):
        whole = parsed(a.get("langfuse.observation.metadata"))
        dotted = "langfuse.observation.metadata."
        return {**(whole if isinstance(whole, dict) else {})} | {
            key.removeprefix(dotted): parsed(value) for key, value in a.items() if key.startswith(dotted)
        }


class Langfuse:
    """Projects, traces and scores; `refused` holds what a real server would not have taken, with its reason."""

    def __init__(self):
        self.rows, self.scores, self.refused, self.keys = {}, {}, [], set()
        self.lock = threading.Lock()
        langfuse = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with langfuse.lock:
                    self._answer(*langfuse.taken(self.path, self.headers, body))

            def do_GET(self):
                with langfuse.lock:
                    self._answer(*langfuse.shown(self.path, self.headers))

            def _answer(self, status, body):
                if status >= 400 and self.command == "POST":
                    langfuse.refused.append((self.path, status, body))
                said = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # ---------------------------------------------------------------- requests
    def taken(self, path, headers, body):
        if headers.get("Authorization") != _KEYS:
            return 401, {"message": "Invalid credentials."}
        if path == "/api/public/scores":
            return self._score(json.loads(body))
        if path != "/api/public/otel/v1/traces":
            return 404, {"message": "Not Found"}
        version = headers.get("x-langfuse-ingestion-version")
        if version != "4":
            return 400, {"message": f"ingestion version {version}"}
        if headers.get("x-langfuse-sdk-name"):
            return 400, {"message": "metadata would be decoded as the SDK's"}
        encoding = headers.get("Content-Encoding")
        if encoding not in (None, "gzip") or headers["Content-Type"] != "application/x-protobuf":
            return 415, {"message": "gzip only, and protobuf or JSON"}
        message = trace_service_pb2.ExportTraceServiceRequest.FromString(gzip.decompress(body) if encoding else body)
        spans = sinks.spans_of(message)
        if any(len(s.span_id) != 16 or len(s.trace_id) != 32 for s in spans):
            return 400, {"message": "malformed id: the whole batch is refused"}
        for span in spans:
            self.keys |= span.attributes.keys()
            self.rows[span.trace_id, span.span_id, span.start_ns] = Observation(span)
        return 200, {}

    def _score(self, body):
        if not isinstance(body, dict):
            return 400, {"message": "single objects only"}
        kind, value = body.get("dataType"), body.get("value")
        good = {
            "NUMERIC": isinstance(value, (int, float)) and not isinstance(value, bool),
            "BOOLEAN": not isinstance(value, bool) and value in (0, 1),
            "CATEGORICAL": isinstance(value, str),
        }.get(kind, False)
        if not good or not re.fullmatch("[0-9a-f]{32}", body.get("traceId", "")) or not body.get("name"):
            return 400, {"message": "Invalid request data"}
        self.scores[body["id"]] = body
        return 200, {"id": body["id"]}

    def shown(self, path, headers):
        if path == "/api/public/health":
            return 200, {"status": "OK", "version": "4.16.0"}
        if headers.get("Authorization") != _KEYS:
            return 401, {"message": "Invalid credentials."}
        if path == "/api/public/projects":
            return 200, {"data": [{"id": "p1", "name": "sink"}]}
        if path.startswith("/api/public/v2/prompts/"):
            return self._prompt(path.removeprefix("/api/public/v2/prompts/").partition("?")[0])
        trace_id = path.removeprefix("/api/public/traces/")
        if any(o.trace_id == trace_id for o in self.rows.values()):
            return 200, {"id": trace_id}
        return 404, {"message": "Not Found"}

    def _prompt(self, name):
        """Version 5 of any prompt."""
        said = {"name": name, "version": 5, "type": "text", "prompt": "Answer {{question}}", "config": {}}
        return 200, {**said, "labels": ["production"], "tags": [], "commitMessage": None, "resolutionGraph": None}

    # ---------------------------------------------------------------- what it shows
    def traces(self):
        """By trace id: its observations as they began. `Trace` has what the view makes of them."""
        found = {}
        for row in sorted(self.rows.values(), key=lambda o: o.start_ns):
            found.setdefault(row.trace_id, []).append(row)
        return [Trace(rows) for rows in found.values()]


class Trace:
    """User, session and tags are the latest value on any span, input and output the root's, cost the sum of totals."""

    def __init__(self, rows):
        self.rows, self.id = rows, rows[0].trace_id
        self.roots = [o for o in rows if o.parent is None]
        self.root = self.roots[0] if self.roots else None
        self.name = next((o.trace_name for o in reversed(rows) if o.trace_name), self.root and self.root.name)
        self.user = next((o.user for o in reversed(rows) if o.user), None)
        self.session = next((o.session for o in reversed(rows) if o.session), None)
        self.tags = next((o.tags for o in reversed(rows) if o.tags), [])
        self.cost = sum(o.cost.get("total", 0) for o in rows)

    def named(self, name):
        return [o for o in self.rows if o.name == name]

    def tree(self, top=None):
        """`(name, type, [below])`, siblings as they began."""
        return [(o.name, o.type, self.tree(o.id)) for o in self.rows if o.parent == top]


def first(attributes, *keys):
    return next((attributes[key] for key in keys if attributes.get(key)), None)


def parsed(value):
    """JSON where it is some, else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
