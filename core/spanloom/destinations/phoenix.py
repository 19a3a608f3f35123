"""Arize Phoenix, in its own terms: OpenInference's conventions, in a project."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Unpack

from opentelemetry.sdk.resources import Resource

from ..content import ContentPolicy
from ..dialects import openinference
from ..dialects import scores as score_dialect
from ..scores import Score
from .backend import TIMEOUT, Backend, filled, setting
from .delivery import Delivery
from .posting import Posting
from .queued import Options
from .seen import shown_of

_LOCAL = "http://localhost:6006"


class Phoenix(Backend):
    """Send traces to Arize Phoenix (local, self-hosted or cloud), over OTLP/HTTP in OpenInference's conventions.

    `PHOENIX_COLLECTOR_ENDPOINT`, `PHOENIX_API_KEY` and `PHOENIX_PROJECT_NAME` fill what is left out; the address
    defaults to `http://localhost:6006`, and of Phoenix Cloud it is the one of the space:
    `https://app.phoenix.arize.com/s/<space>`. Phoenix files traces without a project under "default".

    Everything is sent, redacted, unless `content` is a narrower policy. Further options are `timeout`, `queue_spans`,
    `batch_spans` and `name`, as of `Otlp`.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        project_name: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.project_name = project_name or os.environ.get("PHOENIX_PROJECT_NAME")
        key = setting("api_key", api_key, "PHOENIX_API_KEY").value
        headers = {"authorization": f"Bearer {key}"} if key else {}
        if self.project_name and self.project_name.isascii():  # others go in the resource alone, as UTF-8
            headers["x-project-name"] = self.project_name
        super().__init__(
            endpoint or os.environ.get("PHOENIX_COLLECTOR_ENDPOINT") or _LOCAL,
            headers,
            openinference.render,
            resource={openinference.PROJECT: self.project_name} if self.project_name else None,
            **filled("phoenix", options, ContentPolicy.redacted()),
        )
        self._postings: dict[str, Posting] = {}

    @property
    def address(self) -> str:
        """The base address, without what belongs to OTLP."""
        return str(self.endpoint).rstrip("/").removesuffix("/v1/traces")

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        delivery = super().open(resource, tick)
        delivery.export_scores = self._export_scores
        self._postings = {
            kind: Posting(
                self.name,
                f"{self.address}/v1/{kind}_annotations",
                dict(self.headers or {}),
                timeout=self.timeout or TIMEOUT,
            )
            for kind in ("span", "trace")
        }
        return delivery

    def close(self) -> None:
        for posting in self._postings.values():
            posting.close()
        super().close()

    # ---------------------------------------------------------------- the worker's side
    def _export_scores(self, scores: list[Score]) -> int:
        """As annotations of spans and of traces. Phoenix keeps one until its span has arrived."""
        shown = shown_of(scores, self.content)
        sent = len(scores) - len(shown)
        for kind, posting in self._postings.items():
            mine = [s for s in shown if (s.span_id is None) == (kind == "trace")]
            if mine:
                bodies = [score_dialect.openinference(s, s.comment) for s in mine]
                sent += len(mine) * posting.send([{"data": bodies}])
        return sent
