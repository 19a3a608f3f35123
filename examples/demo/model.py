"""The model behind the demo's server: it asks for a search, and then quotes the best sentences of what it is given."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_STOP = frozenset(
    "a an and are as at be but by can do does for from has have how i if in into is it its me of on or so than that "  # noqa: SIM905
    "the their them then there they this to was what when where which who why will with you your".split()
)
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'(\[0-9])|\n+")


@dataclass
class Answer:
    """Text or a tool call, and what it cost in tokens."""

    text: str = ""
    tool: str | None = None
    arguments: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass
class ExtractiveModel:
    """Answers chat requests in OpenAI's shape. A token is a word or a mark; one token of reasoning is spent on each
    sentence weighed; the longest beginning that a prompt shares with an earlier one counts as cached."""

    _seen: list[list[str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: dict[str, Any]) -> Answer:
        """The answer to the body of a `/v1/chat/completions` request."""
        messages = request.get("messages") or []
        last_user = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=-1)
        asked = text_of(messages[last_user]) if last_user >= 0 else ""
        question = next((line for line in reversed(asked.splitlines()) if line.strip()), "")
        question = re.sub(r"^(question|query)\s*:\s*", "", question.strip(), flags=re.IGNORECASE)
        found = [text_of(m) for m in messages[last_user + 1 :] if m.get("role") == "tool"]
        tools = request.get("tools") or []
        if tools and not found:
            answer = self._call(tools[0]["function"], question)
        else:
            answer = self._quote(question, found or asked.splitlines()[:-1])
        prompt = _TOKEN.findall(json.dumps([messages, tools], ensure_ascii=False))
        answer.prompt_tokens, answer.cached_tokens = len(prompt), self._cached(prompt)
        answer.completion_tokens = len(_TOKEN.findall(answer.text + answer.arguments)) + answer.reasoning_tokens
        return answer

    def _call(self, function: dict[str, Any], question: str) -> Answer:
        properties = function.get("parameters", {}).get("properties") or {"query": {}}
        query = " ".join(dict.fromkeys(_content_words(question)))
        return Answer(tool=function["name"], arguments=json.dumps({next(iter(properties)): query}))

    def _quote(self, question: str, texts: list[str]) -> Answer:
        sentences = [s.strip() for text in texts for s in _SENTENCE.split(text) if len(s.split()) > 3]
        weights = _rarity(sentences)
        wanted = set(words(question))
        scored = []
        for i, sentence in enumerate(sentences):
            has = set(words(sentence))
            scored.append((sum(weights[w] for w in wanted & has) / math.sqrt(len(has) + 4), -i))
        best = sorted(-i for score, i in sorted(scored, reverse=True)[:2] if score > 0)
        text = " ".join(sentences[i] for i in best) or "I found nothing about that in what I was given."
        return Answer(text=text, reasoning_tokens=len(sentences))

    def _cached(self, prompt: list[str]) -> int:
        with self._lock:
            longest = max((_shared(prompt, earlier) for earlier in self._seen), default=0)
            self._seen = [*self._seen[-20:], prompt]
        return longest


def text_of(message: dict[str, Any]) -> str:
    """The text of a message in OpenAI's shape."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content if part.get("type") == "text")


def words(text: str) -> list[str]:
    """The words that carry meaning, in lower case, without their plural s."""
    return [w.removesuffix("s") for w in _content_words(text)]


def _content_words(text: str) -> list[str]:
    return [w for w in re.findall(r"[a-z0-9_]+", text.lower()) if w not in _STOP and len(w) > 1]


def _rarity(sentences: list[str]) -> dict[str, float]:
    """Inverse document frequency: a word that stands in every sentence tells none apart."""
    frequency = Counter(w for s in sentences for w in set(words(s)))
    return {w: math.log(1 + len(sentences) / n) for w, n in frequency.items()}


def _shared(one: list[str], other: list[str]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
