"""English that no two requests share: paragraphs of a support desk, questions and answers.

What varies, and why: real traffic repeats itself in part. Documents come from a corpus of `PARAGRAPHS` paragraphs, five
of them for a question, so that one paragraph comes back after some forty requests, and each question and each answer is
said once only. A tracer that remembers texts it has redacted or encoded gains what it would gain in such a service, and
no more. Some sentences hold a name, an address or a figure, since looking for those is what redaction spends its time
on. All is made of seeds: every subject sees the same texts in the same order.
"""

from __future__ import annotations

import os
import random

PARAGRAPHS = int(os.environ.get("SPANLOOM_BENCH_PARAGRAPHS", "200"))
"""How many paragraphs the corpus has. More of them repeat less."""
LENGTH = 800  # characters of a paragraph
PICKED = 5  # paragraphs for a question

_FIRST = ("Anna", "Bilal", "Chiara", "Dmitri", "Elena", "Farid", "Grace", "Hiro", "Ingrid", "Jonas", "Katya", "Liam")
_LAST = ("Okafor", "Lindqvist", "Moreau", "Tanaka", "Novak", "Silva", "Haddad", "Jensen", "Kowalski", "Ortiz", "Byrne")
_THINGS = (
    "the export job", "the billing page", "a parcel from the northern warehouse", "the nightly backup", "the index",
    "the mobile app", "an invoice of last quarter", "the sign-in form", "the webhook for refunds", "the price list",
    "the cache before the database", "the mailing list", "the sandbox account", "a returned order", "the audit report",
)  # fmt: skip
_DID = (
    "stopped without a message", "took far longer than it used to", "arrived twice", "was sent to the former address",
    "showed the figures of the week before", "asked for the second factor again and again", "was cut off half-way",
    "came back with an error that nobody had seen", "worked in one browser and not in the other", "ran out of memory",
)  # fmt: skip
_THEN = (
    "We restart the worker first and look at the queue afterwards, since most of these cases end there.",
    "Check whether the region of the account and the region of the store agree before you change anything else.",
    "The usual reason is a key that was rotated on one side only, so compare both ends and try once more.",
    "If the customer paid by card, the amount comes back within five working days; by transfer it takes ten.",
    "Nothing is lost in such a case: the record is kept, and the next run picks up where the last one ended.",
    "Please do not close the ticket until the customer has confirmed, even where the graphs look right again.",
    "A slow answer is nearly always the cache under the retriever rather than the model, so measure that first.",
    "The limit is counted for each organisation, not for each user, which surprises people who share one account.",
    "When the same question comes from three customers on one day, tell the team on call and link the tickets.",
    "Older versions wrote the date in local time, so a difference of one or two hours is no fault of the clock.",
)
_ASKED = (
    "Why is it that {thing} {did}, and what can I do about it?",
    "Yesterday {thing} {did}. Who can look into it?",
    "How do I make sure that it does not happen again that {thing} {did}?",
    "My colleague says that {thing} {did}; is there anything known about it?",
)


def _sentence(chance: random.Random) -> str:
    kind, thing, did = chance.random(), chance.choice(_THINGS), chance.choice(_DID)
    first, last, number = chance.choice(_FIRST), chance.choice(_LAST), chance.randint(100, 999)
    if kind < 0.08:
        return f"Write to {first.lower()}.{last.lower()}@example.com, who keeps the list of open cases."
    if kind < 0.16:
        return f"{first} {last} found that {thing} {did} in {number % 97} % of all runs."
    if kind < 0.20:
        return f"Call +44 20 7946 0{number} between nine and five and name ticket 48{number}."
    if kind < 0.24:
        return f"The server at 10.{number % 256}.17.7 answered after {number} ms."
    if kind < 0.55:
        return f"Last {chance.choice(('Monday', 'week', 'month', 'spring'))} {thing} {did}."
    return chance.choice(_THEN)


def _text(chance: random.Random, length: int) -> str:
    said, size = [], 0
    while size < length:
        said.append(_sentence(chance))
        size += len(said[-1]) + 1
    return " ".join(said)[:length]


_CORPUS = [_text(random.Random(f"paragraph {n}"), LENGTH) for n in range(PARAGRAPHS)]
_ANSWERS = [_text(random.Random(f"answer {n}"), 300) for n in range(997)]
_LONG = [_text(random.Random(f"long answer {n}"), 4000).split(" ") for n in range(101)]


def question(number: int) -> str:
    """The question of request `number`, about 100 characters; no two are the same."""
    chance = random.Random(number)
    asked = chance.choice(_ASKED).format(thing=chance.choice(_THINGS), did=chance.choice(_DID))
    return f"{asked} My order is number {100_000 + number}."


def paragraphs(question: str) -> list[tuple[str, str]]:
    """What a store finds for a question: `PICKED` pairs of id and paragraph. Cheap, since it is not what we measure."""
    number = _number(question)
    step = 1 + number % 7
    picked = [(number * 37 + step * n * 11) % PARAGRAPHS for n in range(PICKED)]
    return [(f"kb-{n:04}", _CORPUS[n]) for n in picked]


def whole() -> list[tuple[str, str]]:
    """All of the corpus: pairs of id and paragraph."""
    return [(f"kb-{n:04}", text) for n, text in enumerate(_CORPUS)]


def answer(number: int) -> str:
    """The model's answer to request `number`, about 300 characters."""
    return f"About your order {100_000 + number}: {_ANSWERS[number % len(_ANSWERS)]}"


def long_answer(number: int, words: int) -> list[str]:
    """The same in `words` words, as a stream gives them: each but the first begins with a blank."""
    said = _LONG[number % len(_LONG)]
    return ["Order", f" {100_000 + number}:", *(f" {said[n % len(said)]}" for n in range(words - 2))]


def _number(question: str) -> int:
    digits = question.rstrip(".").rpartition(" ")[2]
    return int(digits) if digits.isdigit() else len(question)
