"""Canaries: a word and an e-mail address of its own in every channel, and what a policy lets out of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from spanloom import ContentPolicy, actions
from spanloom.content import Category

Place = frozenset[Category]
"""The categories that all decide on what stands in one place: it goes out where none of them drops it."""

_LETTERS = "bcdfghklmnpqrstvwxz"


@dataclass(frozen=True)
class Canary:
    """The content of one channel. `word` is no personal data; `mail` is. It goes out where any of `places` lets it;
    destinations whose dialect has no place for the channel are `absent`. What stands under a name that says that it is a
    secret is `secret`: redaction replaces all of it."""

    channel: str
    word: str
    mail: str
    places: tuple[Place, ...]
    absent: frozenset[str] = frozenset()
    secret: bool = False
    whole: bool = True  # whether the address stands beside the word

    def __str__(self) -> str:
        return f"{self.word} {self.mail}"


@dataclass
class Canaries:
    """All of one test's canaries, by channel."""

    all: dict[str, Canary] = field(default_factory=dict)

    def __call__(
        self, channel: str, *places: Category | tuple[Category, ...], absent: str = "", secret: bool = False
    ) -> str:
        """The text of `channel`; `places` are alternatives, a tuple of categories must allow it together."""
        if channel not in self.all:
            sets = tuple(frozenset((p,) if isinstance(p, Category) else p) for p in places)
            number = len(self.all)
            letters = "".join(_LETTERS[number // len(_LETTERS) ** n % len(_LETTERS)] for n in (2, 1, 0))
            self.all[channel] = Canary(
                channel, f"cnry{letters}y", f"pii{letters}i@example.org", sets, frozenset(absent.split()), secret
            )
        return str(self.all[channel])

    def word(
        self, channel: str, *places: Category | tuple[Category, ...], absent: str = "", secret: bool = False
    ) -> str:
        """The word alone, for what must be one: the name of a tool, a path."""
        self(channel, *places, absent=absent, secret=secret)
        self.all[channel] = replace(self.all[channel], whole=False)
        return self.all[channel].word


def ways(policy: ContentPolicy) -> dict[Category, str]:
    """For each category what the policy does: `drop`, `keep` or `redact`. These tests know no others."""
    known = {actions.drop: "drop", actions.keep: "keep", actions.redact(): "redact"}
    return {category: known[chain[0]] for category, chain in policy.rules.items()}


def expected(canaries: Canaries, policy: ContentPolicy, destination: str) -> tuple[set[str], set[str]]:
    """The channels whose word the destination must show, and those whose address it must."""
    way = ways(policy)
    words, mails = set(), set()
    for canary in canaries.all.values():
        if destination in canary.absent:
            continue
        open_ways = {"keep"} if canary.secret else {"keep", "redact"}
        if any(all(way[c] in open_ways for c in place) for place in canary.places):
            words.add(canary.channel)
        if canary.whole and any(all(way[c] == "keep" for c in place) for place in canary.places):
            mails.add(canary.channel)
    return words, mails


def found(canaries: Canaries, data: bytes) -> tuple[set[str], set[str]]:
    """The channels whose word, and whose address, stands in `data`."""
    return (
        {c.channel for c in canaries.all.values() if c.word.encode() in data},
        {c.channel for c in canaries.all.values() if c.mail.encode() in data},
    )


def only(category: Category) -> ContentPolicy:
    """A policy that keeps one category as it is, and drops every other."""
    rules = {c.value: actions.keep if c is category else actions.drop for c in Category}
    return ContentPolicy.none().replace(**rules)


POLICIES = {
    "none": ContentPolicy.none(),
    "hashed": ContentPolicy.hashed(hash_key="k"),
    "redacted": ContentPolicy.redacted(),
    "full": ContentPolicy.full(),
    **{f"only-{category.value}": only(category) for category in Category},
}
