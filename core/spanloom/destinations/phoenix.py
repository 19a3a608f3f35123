"""Arize Phoenix, in its own terms: OpenInference's conventions, in a project."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Unpack

from opentelemetry.sdk.resources import Resource

from ..content import ContentPolicy
from ..dialects import openinference
from ..dialects import scores as score_dialect
from ..scores import Score
from .backend import Backend, filled, setting
from .delivery import Delivery
from .exporter import MakeWire
from .queued import Options
from .receipt import Receipt
from .seen import shown_of
from .wire.http import AGAIN, JSON, HttpWire

_LOCAL = "http://localhost:6006"
_KINDS = ("span", "trace")


class Phoenix(Backend):
    """Send traces to Arize Phoenix (local, self-hosted or cloud), over OTLP/HTTP in OpenInference's conventions.

    `PHOENIX_COLLECTOR_ENDPOINT`, `PHOENIX_API_KEY` and `PHOENIX_PROJECT_NAME` fill what is left out; the address
    defaults to `http://localhost:6006`, and of Phoenix Cloud it is the one of the space:
    `https://app.phoenix.arize.com/s/<space>`. Phoenix files traces without a project under "default".

    Everything is sent, redacted, unless `content` is a narrower policy. Further options are `timeout`, `queue_spans`,
    `batch_spans`, `spool` and `name`, as of `Otlp`.
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

    @property
    def address(self) -> str:
        """The base address, without what belongs to OTLP."""
        return str(self.endpoint).rstrip("/").removesuffix("/v1/traces")

    def open(self, resource: Resource, tick: Callable[[], object]) -> Delivery:
        delivery = super().open(resource, tick)
        delivery.export_scores = self._export_scores
        return delivery

    # ---------------------------------------------------------------- the worker's side
    def _wires(self) -> dict[str, MakeWire]:
        return {**super()._wires(), **{_lane(kind): partial(self._annotations_wire, kind) for kind in _KINDS}}

    def _annotations_wire(self, kind: str) -> HttpWire:
        url = f"{self.address}/v1/{kind}_annotations"
        return HttpWire(url, dict(self.headers or {}), content_type=JSON, again=AGAIN)

    def _export_scores(self, scores: list[Score]) -> Receipt:
        """As annotations of spans and of traces. Phoenix keeps one until its span has arrived."""
        assert self._exporter is not None
        shown = shown_of(scores, self.content)
        receipt = Receipt(len(scores))
        receipt.took(len(scores) - len(shown))  # those that the policy keeps back are where they should be
        for kind in _KINDS:
            mine = [s for s in shown if (s.span_id is None) == (kind == "trace")]
            if mine:
                bodies = [score_dialect.openinference(s, s.comment) for s in mine]
                self._exporter.post(_lane(kind), [{"data": bodies}], receipt, len(bodies))
        return receipt


def _lane(kind: str) -> str:
    return f"{kind}_scores"
