"""Which content a destination may show, by category, and what is done to it on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import compress
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Self

from ..errors import ConfigurationError
from ..identity import NOBODY, Identity, Prompt
from ..scores import Score
from . import actions as act
from .acting import Action, Reference, Situation, as_key, chain, combined
from .application import Application, shows
from .batch import COPYING
from .budget import ATTRIBUTE_BYTES, fit
from .category import Categories, Category
from .digest import canonical_messages, digest
from .keeping import Keeper
from .plain import label
from .plan import Plan, Rules
from .visible import CONTENT, HASHED, Visible

_C = Category


def _rules(default: Action, **others: Action) -> Rules:
    return MappingProxyType({c: (others.get(c.value, default),) for c in Category})


_NONE = _rules(act.drop, names=act.redact(), identity=act.keep)
_HASHED = _rules(act.drop, names=act.redact(), identity=act.keep, tags=act.redact())
_REDACTED = _rules(act.redact(), identity=act.keep)
_FULL = _rules(act.keep)
_ON_THE_SPAN = {_C.NAMES, _C.TAGS, _C.IDENTITY, _C.SCORE_COMMENTS}

_values = attrgetter(*CONTENT)


@dataclass(frozen=True, slots=True, repr=False)
class ContentPolicy:
    """What of the content reaches a destination, and how.

    Structure always does: kinds, models, parameters, tokens, costs, ids, times, outcome, the type of an error. Start
    from a preset, `none()`, `hashed()`, `redacted()`, `full()`, `referenced(vault)` or `by_recommendation(vault)`, and
    change it:

    >>> ContentPolicy.redacted().replace(documents=actions.drop, completion=[actions.redact(), actions.truncate(500)])

    `rules` are the actions of each `Category`; `hashes` adds the SHA-256 of each model call's prompt, of its template
    and of its completion, or under `hash_key` their HMAC-SHA256. `structure` are names of attributes, with `*` as a
    wildcard, that the application or other libraries write and that hold no content. `attribute_bytes` bounds every
    attribute. An action that fails drops the content, says so once and counts it: the span still goes.
    """

    rules: Rules = field(default_factory=lambda: _NONE)
    hashes: bool = False
    hash_key: bytes | None = field(default=None, repr=False)
    structure: tuple[str, ...] = ()
    attribute_bytes: int = ATTRIBUTE_BYTES
    _combined: dict[Categories, tuple[Action, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _planned: dict[str, Plan] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        """What happens to which categories; no key."""
        by_actions: dict[str, list[str]] = {}
        for category, actions in self.rules.items():
            by_actions.setdefault("+".join(type(a).__name__.lower() for a in actions), []).append(category.value)
        said = [f"{how}: {', '.join(categories)}" for how, categories in by_actions.items()]
        return f"<ContentPolicy {'; '.join([*said, *(['hashes'] if self.hashes else [])])}>"

    @classmethod
    def none(cls) -> Self:
        """Structure only. Names are searched for personal data and secrets, as in every preset but `full`."""
        return cls()

    @classmethod
    def hashed(cls, hash_key: bytes | str | None = None) -> Self:
        """Structure, tags, and the hash of each prompt, template and completion.

        Without a `hash_key` those of short texts can be guessed.
        """
        return cls(_HASHED, hashes=True, hash_key=_key(hash_key))

    @classmethod
    def redacted(cls, hash_key: bytes | str | None = None) -> Self:
        """Everything, with placeholders for personal data and secrets (see `docs/redaction.md`); and the hashes."""
        return cls(_REDACTED, hashes=True, hash_key=_key(hash_key))

    @classmethod
    def full(cls) -> Self:
        """Everything as it is, within the byte budget; and the hashes."""
        return cls(_FULL, hashes=True)

    @classmethod
    def by_recommendation(
        cls, vault: Keeper, *, completions: float = 0.1, characters: int = 2_000, hash_key: bytes | str | None = None
    ) -> Self:
        """For shared backends: enough to find a bug by, little to lose.

        System prompts and tool definitions as hashes, what users and tools say redacted, completions redacted and cut
        to so many `characters` in a share of the traces, documents by their reference in `vault`, the model's reasoning
        not at all.
        """
        said = [act.redact(), act.truncate(characters)]
        return cls.redacted(hash_key).replace(
            system_prompt=act.hash(hash_key),
            tool_definitions=act.hash(hash_key),
            completion=[act.sample(completions), *said],
            tool_results=said,
            documents=act.reference(vault),
            reasoning=act.drop,
        )

    @classmethod
    def referenced(cls, vault: Keeper, hash_key: bytes | str | None = None) -> Self:
        """All content in `vault`, encrypted until its subject is erased, and its references here; and the hashes."""
        kept: dict[str, Any] = {c.value: act.reference(vault) for c in Category if c not in _ON_THE_SPAN}
        return cls.hashed(hash_key).replace(**kept)

    def replace(
        self,
        *,
        hashes: bool | None = None,
        hash_key: bytes | str | None = None,
        structure: Sequence[str] | None = None,
        attribute_bytes: int | None = None,
        **by_category: Action | Sequence[Action],
    ) -> Self:
        """This policy with other actions for the categories named, and other settings where they are given.

        Raises `ConfigurationError` for what is no category or no action.
        """
        rules = dict(self.rules)
        for name, action in by_category.items():
            if name not in {c.value for c in Category}:
                known = ", ".join(Category)
                raise ConfigurationError(f"ContentPolicy has no category {name!r}: write one of {known}.")
            found = chain(action, f"ContentPolicy(…{name}=…)")
            if Category(name) in _ON_THE_SPAN and any(isinstance(a, Reference) for a in found):
                raise ConfigurationError(f"ContentPolicy({name}=…) cannot go to a vault: write another action.")
            rules[Category(name)] = found
        return replace(
            self,
            rules=MappingProxyType(rules) if by_category else self.rules,
            hashes=self.hashes if hashes is None else hashes,
            hash_key=self.hash_key if hash_key is None else _key(hash_key),
            structure=self.structure if structure is None else _names(structure),
            attribute_bytes=self.attribute_bytes if attribute_bytes is None else attribute_bytes,
        )

    def shows(self, category: Category) -> bool:
        """Whether anything of the category can go out, be it changed."""
        return shows(self.rules[category])

    @property
    def vaults(self) -> tuple[Keeper, ...]:
        """Where this policy puts content aside."""
        found = (a.vault for chain in self.rules.values() for a in chain if isinstance(a, Reference))
        return tuple(dict.fromkeys(found))

    # ---------------------------------------------------------------- on the worker
    def application(self, at: Situation) -> Application:
        """A pass over the content of the span `at`, which `apply` can take."""
        plan, batch = self._plan(), COPYING.batch
        known = None if batch is None or plan.again is None else batch.shown(plan.again, at.trace_id)
        return Application(self.chain, at, plan.lasting, known, plan.leaves)

    @property
    def keeps(self) -> bool:
        """Whether it puts anything aside in a vault."""
        return self._plan().keeps

    def apply(self, content: Visible, at: Situation | None = None, pass_: Application | None = None) -> Visible:
        """What of `content` this policy shows of the span `at`, in any size; `content` itself is left as it is.

        What goes to a vault is on its shelf of `at`: `at.settle()` asks the vaults to keep it.
        """
        if pass_ is None:
            pass_ = self.application(Situation(identity=content.identity) if at is None else at)
        at, who, told = pass_.at, content.identity, content.told
        shown = Visible(identity=who if who is NOBODY else pass_.once(who, lambda w: self._identity(w, pass_)))
        if told:
            ways = self._plan().ways(at.kind)
            for name in told:
                # A field is read when it is asked for: what this policy drops is not.
                if (way := ways.get(name)) is not None and (value := getattr(content, name)) is not None:
                    decide, categories = way
                    setattr(shown, name, decide(pass_, categories, value))
            if self.hashes and not HASHED.isdisjoint(told):
                self._hash(content, shown)
        shown.truncated = at.cut
        return shown

    def fitted(self, shown: Visible) -> Visible:
        """What `apply` showed, with every field within the byte budget; `shown` itself where all were."""
        changed: dict[str, Any] = {}
        cut = 0
        limit = self.attribute_bytes
        values = _values(shown)
        for name, value in compress(zip(CONTENT, values, strict=True), values):
            changed[name], here = fit(value, limit)
            cut += here
        return replace(shown, **changed, truncated=shown.truncated + cut) if cut else shown

    def score(self, score: Score) -> Score | None:
        """What this policy shows of a score: its comment by its category, its name and a text that is its value as
        names. None where one of these two does not go out: without it, it is no score."""
        pass_ = Application(self.chain, Situation(int(score.trace_id, 16)))
        name = pass_.name(score.name)
        value = pass_.name(score.value) if isinstance(score.value, str) else score.value
        if name is None or value is None:
            return None
        comment = pass_.one(_C.SCORE_COMMENTS, score.comment)
        comment = str(fit(comment, self.attribute_bytes)[0]) if isinstance(comment, str) else None
        return replace(score, name=name, value=value, comment=comment)

    def chain(self, categories: Categories) -> tuple[Action, ...]:
        """The actions for content that is of one of these categories, or holds several that cannot be told apart."""
        if len(categories) == 1:
            return self.rules[categories[0]]
        if (known := self._combined.get(categories)) is None:
            known = self._combined[categories] = combined(self.rules[c] for c in categories)
        return known

    def is_structure(self, attribute: str) -> bool:
        """Whether the user says that this attribute holds no content."""
        return any(fnmatchcase(attribute, pattern) for pattern in self.structure)

    def _plan(self) -> Plan:
        if (plan := self._planned.get("plan")) is None:
            plan = self._planned["plan"] = Plan(self.rules)
        return plan

    def _identity(self, who: Identity, pass_: Application) -> Identity:
        tags = (label(pass_.one(_C.TAGS, tag)) for tag in who.tags)
        ids = {name: label(pass_.one(_C.IDENTITY, getattr(who, name))) for name in ("user_id", "session_id", "tenant")}
        return replace(
            who,
            tags=tuple(t for t in tags if t is not None),
            user_id=ids["user_id"],
            session_id=ids["session_id"],
            tenant=ids["tenant"],
            prompt=_prompt(who.prompt, pass_),
        )

    def _hash(self, content: Visible, shown: Visible) -> None:
        key = self.hash_key
        if key is None:
            shown.prompt_hash, shown.completion_hash = content.prompt_hash, content.completion_hash
            shown.template_hash = content.template_hash
            return
        shown.prompt_hash, shown.template_hash, shown.completion_hash = (
            digest(canonical_messages(messages), key) if messages else plain_hash
            for messages, plain_hash in (
                (content.input_messages, content.prompt_hash),
                (content.template, content.template_hash),
                (content.output_messages, content.completion_hash),
            )
        )


def _prompt(prompt: Prompt | None, pass_: Application) -> Prompt | None:
    """A version that is a text is a name as well."""
    if prompt is None or (name := pass_.name(prompt.name)) is None:
        return None
    version = prompt.version
    return Prompt(name, pass_.name(version) if isinstance(version, str) else version)


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _key(key: bytes | str | None) -> bytes | None:
    return as_key(key, "ContentPolicy(hash_key=…)")
