"""Ready profiles: what each backend wants of address, headers, dialect and limits, by its own documentation.

What is read and tested against the backend's own server is said; the others are services, and are not tested here.
Each takes `content`, `timeout`, `queue_spans`, `batch_spans`, `name` and `sampling` too, as `Otlp` does. A backend for
language models shows prompts and answers by default, one for everything their hashes only.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, Literal, Unpack

from ..content import ContentPolicy
from ..dialects import genai, langsmith, openinference
from ..dialects import sampling as sampling_dialect
from ..ended import Ended
from .backend import Backend, MeasuringBackend, filled, setting
from .limits import Limits
from .queued import Options
from .seen import Seen


class Datadog(Backend):
    """Datadog's Agent (LLM) Observability, straight to its intake. By its documentation; not tested against it.

    `DD_API_KEY` and `DD_SITE` (by default `datadoghq.com`) fill what is left out. The application's name there is the
    service's. It takes the GenAI conventions as of 1.37; government sites do not have it. Everything is sent, redacted,
    by default.
    """

    def __init__(
        self, api_key: str | None = None, *, site: str | None = None, endpoint: str | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        key = setting("api_key", api_key, "DD_API_KEY")
        super().__init__(
            endpoint or f"https://otlp.{site or os.environ.get('DD_SITE') or 'datadoghq.com'}",
            {"dd-api-key": key.value or "", "dd-otlp-source": "llmobs"},
            genai.render,
            required=[key],
            **filled("datadog", options, ContentPolicy.redacted()),
        )


class Honeycomb(MeasuringBackend):
    """Honeycomb. By its documentation; not tested against it.

    `HONEYCOMB_API_KEY`, `HONEYCOMB_API_ENDPOINT` (by default `https://api.honeycomb.io`; in the EU
    `https://api.eu1.honeycomb.io`) and `HONEYCOMB_DATASET` fill what is left out. `dataset` is for Classic keys; the
    others' is the service. Texts are kept under 64 KB. Hashes of content are sent by default. Of a trace that
    `sampling` kept by chance, `SampleRate` says for how many it stands, so that Honeycomb weighs its counts.
    """

    def __init__(
        self, api_key: str | None = None, *, endpoint: str | None = None, dataset: str | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        key = setting("api_key", api_key, "HONEYCOMB_API_KEY")
        dataset = dataset or os.environ.get("HONEYCOMB_DATASET")
        super().__init__(
            endpoint or os.environ.get("HONEYCOMB_API_ENDPOINT") or "https://api.honeycomb.io",
            {"x-honeycomb-team": key.value or "", **({"x-honeycomb-dataset": dataset} if dataset else {})},
            genai.render,
            required=[key],
            limits=Limits(text_bytes=64_000),
            **filled("honeycomb", options, ContentPolicy.hashed()),
        )

    def _own(self, ended: Ended, shown: Seen) -> Mapping[str, Any]:
        return {**super()._own(ended, shown), **sampling_dialect.honeycomb(ended.kept_for(self.name))}


_NEW_RELIC = {
    "us": "https://otlp.nr-data.net",
    "eu": "https://otlp.eu01.nr-data.net",
    "jp": "https://otlp.jp.nr-data.net",
    "fedramp": "https://gov-otlp.nr-data.net",
}


class NewRelic(MeasuringBackend):
    """New Relic. By its documentation; not tested against it.

    `NEW_RELIC_LICENSE_KEY` fills what is left out; `region` is "eu" for keys that begin so, else "us". It takes 4,095
    characters of an attribute, 255 of its name and 64 items of a list: long prompts are cut inside their texts, so that
    their JSON stays whole. Hashes of content are sent by default.
    """

    def __init__(
        self, license_key: str | None = None, *, region: Literal["us", "eu", "jp", "fedramp"] | None = None,
        endpoint: str | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        key = setting("license_key", license_key, "NEW_RELIC_LICENSE_KEY")
        place = region or ("eu" if str(key.value).startswith("eu") else "us")
        super().__init__(
            endpoint or _NEW_RELIC.get(place, place),
            {"api-key": key.value or ""},
            genai.render,
            required=[key],
            limits=Limits(text_bytes=4_095, items=64, name_characters=255),
            **filled("new-relic", options, ContentPolicy.hashed()),
        )


class Dynatrace(MeasuringBackend):
    """Dynatrace SaaS. By its documentation; not tested against it.

    `endpoint` is `https://<environment>.live.dynatrace.com/api/v2/otlp`, `api_token` has the scope
    `openTelemetryTrace.ingest` (and `metrics.ingest` for `metric_reader()`, whose values are deltas);
    `DT_ENDPOINT` (or `DT_API_URL`) and `DT_API_TOKEN` fill what is left out. It takes binary protobuf over HTTP only.
    Hashes of content are sent by default.
    """

    delta = True

    def __init__(self, endpoint: str | None = None, api_token: str | None = None, **options: Unpack[Options]) -> None:
        address = setting("endpoint", endpoint, "DT_ENDPOINT", "DT_API_URL")
        token = setting("api_token", api_token, "DT_API_TOKEN")
        super().__init__(
            address.value or "",
            {"Authorization": f"Api-Token {token.value}"},
            genai.render,
            required=[address, token],
            **filled("dynatrace", options, ContentPolicy.hashed()),
        )


class GrafanaCloud(MeasuringBackend):
    """Grafana Cloud's OTLP gateway. By its documentation; not tested against it.

    `endpoint` is `https://otlp-gateway-<zone>.grafana.net/otlp`, `instance_id` the number that stands beside it.
    `GRAFANA_CLOUD_OTLP_ENDPOINT`, `GRAFANA_CLOUD_INSTANCE_ID` and `GRAFANA_CLOUD_API_KEY` fill what is left out. Hashes
    of content are sent by default.
    """

    def __init__(
        self, endpoint: str | None = None, instance_id: str | None = None, token: str | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        address = setting("endpoint", endpoint, "GRAFANA_CLOUD_OTLP_ENDPOINT")
        instance = setting("instance_id", instance_id, "GRAFANA_CLOUD_INSTANCE_ID")
        key = setting("token", token, "GRAFANA_CLOUD_API_KEY")
        super().__init__(
            address.value or "",
            {"Authorization": _basic(instance.value, key.value)},
            genai.render,
            required=[address, instance, key],
            **filled("grafana-cloud", options, ContentPolicy.hashed()),
        )


class LangSmith(Backend):
    """LangSmith. Its keys are read from its SDK's own exporter; not tested against it.

    `LANGSMITH_API_KEY`, `LANGSMITH_PROJECT` and `LANGSMITH_ENDPOINT` (by default `https://api.smith.langchain.com`;
    self-hosted `https://<host>/api/v1`) fill what is left out. Each span has its run type, input and output;
    conversations are grouped by `session_id`. Everything is sent, redacted, by default.
    """

    def __init__(
        self, api_key: str | None = None, *, project: str | None = None, endpoint: str | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        key = setting("api_key", api_key, "LANGSMITH_API_KEY")
        project = project or os.environ.get("LANGSMITH_PROJECT")
        base = endpoint or os.environ.get("LANGSMITH_ENDPOINT") or "https://api.smith.langchain.com"
        super().__init__(
            f"{base.rstrip('/').removesuffix('/v1/traces').removesuffix('/otel')}/otel",
            {"x-api-key": key.value or "", **({"Langsmith-Project": project} if project else {})},
            langsmith.render,
            required=[key],
            **filled("langsmith", options, ContentPolicy.redacted()),
        )


class MLflow(Backend):
    """An MLflow tracking server (3.6 or newer, with an SQL store). Tested against mlflow 3.17.

    `MLFLOW_TRACKING_URI` (by default `http://localhost:5000`), `MLFLOW_EXPERIMENT_ID` (by default "0", the experiment
    that every server has), `MLFLOW_TRACKING_TOKEN`, and `MLFLOW_TRACKING_USERNAME` with `MLFLOW_TRACKING_PASSWORD` fill
    what is left out. It reads both conventions; OpenInference's name more kinds of steps. Everything is sent, redacted,
    by default.
    """

    def __init__(
        self, endpoint: str | None = None, experiment_id: str | int | None = None, *, token: str | None = None,
        username: str | None = None, password: str | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        user = setting("username", username, "MLFLOW_TRACKING_USERNAME")
        secret = setting("password", password, "MLFLOW_TRACKING_PASSWORD")
        bearer = setting("token", token, "MLFLOW_TRACKING_TOKEN")
        if experiment_id is None:
            experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID") or "0"
        headers = {"x-mlflow-experiment-id": str(experiment_id)}
        if bearer.value:
            headers["Authorization"] = f"Bearer {bearer.value}"
        elif user.value or secret.value:
            headers["Authorization"] = _basic(user.value, secret.value)
        super().__init__(
            endpoint or os.environ.get("MLFLOW_TRACKING_URI") or "http://localhost:5000",
            headers,
            openinference.render,
            required=[user, secret] if not bearer.value and (user.value or secret.value) else [],
            **filled("mlflow", options, ContentPolicy.redacted()),
        )


def _basic(user: str | None, secret: str | None) -> str:
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"
