"""Where all subjects send to: a server in a process of its own that answers at once and looks afterwards.

`Sink.take` tells, for each path since it was asked last, how many requests and bytes came (header and body, as they
were on the wire), and how many spans by name were in them; the bodies are decoded then, when nobody is measured.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import urllib.request
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_TAKE, _FORGET = "/-/take", "/-/forget"


@dataclass
class _Received:
    requests: int = 0
    bytes: int = 0
    bodies: list[tuple[bytes, bytes]] = field(default_factory=list)


class _Server:
    def __init__(self) -> None:
        self._paths: dict[str, _Received] = {}

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 20)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(await self._request(reader))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if path == _TAKE:
            return _response(json.dumps(self._take()).encode(), b"application/json")
        if path == _FORGET:
            self._paths = {}
            return _response(b"{}", b"application/json")
        received = self._paths.setdefault(path, _Received())
        received.requests += 1
        received.bytes += len(head) + len(body)
        received.bodies.append((fields.get(b"content-encoding", b""), body))
        return _response(b"", fields.get(b"content-type", b"application/x-protobuf"))

    def _take(self) -> dict[str, Any]:
        taken, self._paths = self._paths, {}
        return {
            path: {"requests": r.requests, "bytes": r.bytes, "names": _names(r.bodies)}
            for path, r in taken.items()
            if path.endswith("/traces")
        }


def _response(body: bytes, content_type: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (content_type, len(body), body)


def _names(bodies: list[tuple[bytes, bytes]]) -> dict[str, int]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    names: Counter[str] = Counter()
    for encoding, body in bodies:
        plain = gzip.decompress(body) if encoding == b"gzip" else zlib.decompress(body) if encoding else body
        request = ExportTraceServiceRequest.FromString(plain)
        names.update(s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)
    return dict(names)


class Sink:
    """The server, started; `url` is where it listens. Needs opentelemetry-proto in the interpreter that runs this."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def take(self) -> dict[str, dict[str, Any]]:
        """By path: `requests`, `bytes`, and `names` (how many spans of each name), since the last call."""
        taken: dict[str, dict[str, Any]] = self._ask(_TAKE)
        return taken

    def forget(self) -> None:
        """Drop what came since the last call, unread."""
        self._ask(_FORGET)

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    asyncio.run(_Server().serve())
