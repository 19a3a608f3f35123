"""Arize Phoenix, in its own terms: OpenInference's conventions, in a project."""

from __future__ import annotations

import os
from typing import Unpack

from ..content import ContentPolicy
from ..dialects import openinference
from .backend import Backend, Options, filled, setting

_LOCAL = "http://localhost:6006"


class Phoenix(Backend):
    """Send traces to Arize Phoenix (local, self-hosted or cloud), over OTLP/HTTP in OpenInference's conventions.

    `PHOENIX_COLLECTOR_ENDPOINT`, `PHOENIX_API_KEY` and `PHOENIX_PROJECT_NAME` fill what is left out; the address
    defaults to `http://localhost:6006`, and of Phoenix Cloud it is the one of the space:
    `https://app.phoenix.arize.com/s/<space>`. Phoenix files traces without a project under "default".

    `content` decides what of prompts and answers goes out: by default everything. Further options are `timeout`,
    `queue_spans`, `batch_spans` and `name`, as of `Otlp`.
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
            **filled("phoenix", options, ContentPolicy.full()),
        )
