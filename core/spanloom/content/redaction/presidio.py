"""Names of persons and places, by Microsoft's Presidio and the spaCy models that the user has installed."""

from __future__ import annotations

import importlib.util
import os
import re
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ConfigurationError
from .finding import Finding, Redactor
from .patterns import Patterns
from .view import PLACEHOLDER

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

ENTITIES = ("PERSON", "LOCATION")
_PIECE = 50_000  # characters; spaCy refuses more than a million at once
_LABEL = re.compile(r"[A-Z][A-Z0-9_]*")


class Presidio:
    """Finds `entities` of Presidio's (PERSON and LOCATION by default), besides what `also` finds (`Patterns()`).

    `models`: language code → an installed spaCy pipeline with named entities, by its package's name or its folder:
    `{"en": "en_core_web_sm", "de": "de_core_news_sm"}`. Each text is read in all of these languages. Findings score
    at least `threshold`, from 0 to 1.

    It needs the extra: `pip install 'spanloom[presidio]'`. Nothing is fetched from the network, so a model that is
    missing raises `ConfigurationError`, as does any other setting that cannot work. Loading takes seconds, at the
    first `find`; a text of 10 kB takes hundreds of milliseconds, and texts wait for each other.
    """

    def __init__(
        self,
        models: Mapping[str, str | Path],
        *,
        entities: Sequence[str] = ENTITIES,
        threshold: float = 0.5,
        also: Redactor | None = None,
    ) -> None:
        if importlib.util.find_spec("presidio_analyzer") is None:
            raise ConfigurationError("Presidio(…) needs presidio-analyzer: pip install 'spanloom[presidio]'.")
        if not models:
            raise ConfigurationError('Presidio({"en": "en_core_web_sm"}) says which spaCy model reads which language.')
        for model in map(str, models.values()):
            if not (Path(model).is_dir() or (model.isidentifier() and importlib.util.find_spec(model))):
                raise ConfigurationError(
                    f"The spaCy model {model!r} is not installed: python -m spacy download {model}, or give its folder."
                )
        if isinstance(entities, str) or not entities or not all(_LABEL.fullmatch(e) for e in entities):
            raise ConfigurationError('Presidio(entities=…) takes labels such as ("PERSON", "LOCATION").')
        if not 0 <= threshold <= 1:
            raise ConfigurationError("Presidio(threshold=…) takes a score from 0 to 1.")
        self.models = {language: str(model) for language, model in models.items()}
        self.entities, self.threshold = tuple(entities), threshold
        self.also: Redactor = Patterns() if also is None else also
        self._lock = threading.Lock()  # spaCy pipelines serve one thread at a time
        self._engine: AnalyzerEngine | None = None
        if hasattr(os, "register_at_fork"):
            again = weakref.WeakMethod(self.after_fork)
            os.register_at_fork(after_in_child=lambda: (unlock := again()) and unlock())

    def find(self, text: str) -> Sequence[Finding]:
        """What `also` finds, and names beside it; where two names overlap, the better score wins, then the longer."""
        found = list(self.also.find(text))
        if not any(c.isalpha() for c in text):
            return found
        taken = bytearray(len(text))
        for start, end in [(f.start, f.end) for f in found] + [m.span() for m in PLACEHOLDER.finditer(text)]:
            taken[start:end] = b"\1" * (end - start)
        for _, start, end, kind in sorted(self._named(text), key=lambda r: (-r[0], r[1] - r[2], r[1])):
            if 1 not in taken[start:end]:
                taken[start:end] = b"\1" * (end - start)
                found.append(Finding(start, end, kind))
        return sorted(found, key=lambda f: f.start)

    def _named(self, text: str) -> Iterator[tuple[float, int, int, str]]:
        with self._lock:
            if self._engine is None:
                self._engine = _offline(self.models)
            for begin, piece in _pieces(text):
                for language in self.models:
                    for result in self._engine.analyze(
                        piece, language, entities=list(self.entities), score_threshold=self.threshold
                    ):
                        yield result.score, begin + result.start, begin + result.end, result.entity_type

    def after_fork(self) -> None:
        """In a forked child: whatever thread held the lock is gone."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"Presidio({self.models!r}, entities={self.entities!r}, threshold={self.threshold!r}, also={self.also!r})"
        )


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Of at most `_PIECE` characters, parted at spaces where there are any."""
    begin = 0
    while len(text) - begin > _PIECE:
        end = text.rfind(" ", begin + 1, begin + _PIECE)
        end = end if end > 0 else begin + _PIECE
        yield begin, text[begin:end]
        begin = end
    yield begin, text[begin:]


def _offline(models: Mapping[str, str]) -> AnalyzerEngine:
    """Presidio's engine with its own recognizers, of which the one of e-mail addresses asks no server for a list."""
    import tldextract  # noqa: PLC0415
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine  # noqa: PLC0415
    from presidio_analyzer.predefined_recognizers import EmailRecognizer  # noqa: PLC0415

    suffixes = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())

    class OfflineEmail(EmailRecognizer):  # type: ignore[misc, unused-ignore]
        def validate_result(self, pattern_text: str) -> bool:
            return bool(suffixes(pattern_text).top_domain_under_public_suffix)

    languages = list(models)
    nlp = SpacyNlpEngine(
        [{"lang_code": language, "model_name": model} for language, model in models.items()],
        NerModelConfiguration(labels_to_ignore=["CARDINAL", "ORDINAL", "QUANTITY", "PERCENT", "MONEY", "MISC"]),
    )
    nlp.load()
    registry = RecognizerRegistry(supported_languages=languages)
    registry.load_predefined_recognizers(languages=languages, nlp_engine=nlp)
    registry.remove_recognizer("EmailRecognizer")
    for language in languages:
        registry.add_recognizer(OfflineEmail(supported_language=language))
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=languages)
