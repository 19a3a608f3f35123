"""Who a trace belongs to: user, session, tags, metadata, tenant and prompt, stamped on every span of it."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .errors import ConfigurationError
from .guard import GUARD

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A managed prompt: its name and, where known, its version (a number in Langfuse)."""

    name: str
    version: int | str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What `using(...)`, LangChain's config metadata and LlamaIndex's instrument tags say of a request."""

    user_id: str | None = None
    session_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tenant: str | None = None
    prompt: Prompt | None = None

    def overlaid(self, other: Identity) -> Identity:
        """This identity with everything that `other` says in place of its own; tags and metadata add up."""
        if other is NOBODY or other is self:
            return self
        if self is NOBODY:
            return other
        return Identity(
            user_id=other.user_id or self.user_id,
            session_id=other.session_id or self.session_id,
            tags=self.tags + tuple(t for t in other.tags if t not in self.tags),
            metadata={**self.metadata, **other.metadata} if other.metadata else self.metadata,
            tenant=other.tenant or self.tenant,
            prompt=other.prompt or self.prompt,
        )


NOBODY = Identity()

_current: ContextVar[Identity] = ContextVar("spanloom_identity", default=NOBODY)


def current_identity() -> Identity:
    """What the enclosing `using(...)` blocks say; `NOBODY` outside of any."""
    return _current.get()


def using(
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    tenant: str | None = None,
    prompt: Prompt | tuple[str, int | str | None] | str | None = None,
) -> Using:
    """Stamp an identity on every span of every trace that begins inside the block, or inside the function, also an
    `async` one, that it decorates.

    Blocks nest: an inner one adds tags and metadata and replaces the rest. It follows the context of the code, so it
    is right under asyncio and in threads that copy their context. `tenant` is the customer that the user belongs to:
    routes, sampling and the vault go by it. `prompt` is a name, `(name, version)` or a `Prompt`; `tags` may be one
    string. It never raises: what cannot be read is logged once and left out.

    >>> with using(user_id="u1", session_id="s1", tags=["beta"], prompt=("rag", 3)):
    ...     pass
    """
    said: dict[str, Any] = {}
    given: tuple[tuple[str, Any, Callable[[Any], Any]], ...] = (
        ("user_id", user_id, str),
        ("session_id", session_id, str),
        ("tags", tags, _tags),
        ("metadata", metadata, dict),
        ("tenant", tenant, str),
        ("prompt", prompt, prompt_of),
    )
    for name, value, read in given:
        if value is not None:
            with GUARD.watching(f"spanloom.using({name}=…)"):  # one that cannot be read takes no other with it
                said[name] = read(value)
    return Using(Identity(**said))


_MOST_BLOCKS = 10_000  # at once, of one that is entered again and again; some generators never leave theirs


class Using(AbstractContextManager[None]):
    """What `using(...)` gives: for `with`, as often as wanted, and to decorate functions with."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._entered: deque[Token[Identity]] = deque(maxlen=_MOST_BLOCKS)

    def __enter__(self) -> None:
        self._entered.append(_current.set(_current.get().overlaid(self._identity)))

    def __exit__(self, *error: object) -> None:
        for token in reversed(tuple(self._entered)):
            with suppress(ValueError):  # of another task's block, or this is a generator, closed in another context:
                _current.reset(token)  # that context dies with its value
                self._entered.remove(token)
                break

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """`function`, with each of its calls in a block of its own: all of what a coroutine does, and no generator,
        whose body runs in its consumer's context."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"using(…) cannot decorate {function.__qualname__}(), which is a generator: its body would share what "
                "it says with whoever reads it; write `with using(…):` around what it calls."
            )
        called: Callable[..., Any] = function
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with Using(self._identity):
                    return await called(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @wraps(function)
        def inside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with Using(self._identity):
                return function(*args, **kwargs)

        return inside


def _tags(tags: str | Sequence[str]) -> tuple[str, ...]:
    return (tags,) if isinstance(tags, str) else tuple(dict.fromkeys(str(tag) for tag in tags))


def check_prompt(prompt: Any) -> None:
    """Raise `ConfigurationError` for what is no prompt of Langfuse's SDK."""
    if not isinstance(getattr(prompt, "prompt", None), (str, list)) or not hasattr(prompt, "name"):
        raise ConfigurationError(
            f"prompt_from_langfuse() got a {type(prompt).__name__}: pass what get_client().get_prompt(name) returns."
        )


def prompt_of(value: Any) -> Prompt | None:
    """A prompt as applications name it: a `Prompt`, a name, `(name, version)`, a mapping with both, or a prompt of
    Langfuse's SDK. None for what is none, and for a fallback, which Langfuse does not know."""
    if value is None or isinstance(value, Prompt):
        return value
    if isinstance(value, str):
        return Prompt(value)
    if isinstance(value, Mapping):
        name, version = value.get("name"), value.get("version")
    elif isinstance(value, Sequence):
        name, version = value
    else:
        name, version = getattr(value, "name", None), getattr(value, "version", None)
    if name is None or getattr(value, "is_fallback", False):
        return None
    return Prompt(str(name), version)


def prompt_in(metadata: Mapping[str, Any]) -> Prompt | None:
    """The prompt that a template's or a run's metadata names: `langfuse_prompt` (whatever `prompt_of` takes), or
    `prompt_name` and `prompt_version`. None where there is none, or nothing that can be read."""
    with suppress(ValueError, TypeError):
        if (found := prompt_of(metadata.get("langfuse_prompt"))) is not None:
            return found
    name = metadata.get("prompt_name")
    return Prompt(name, metadata.get("prompt_version")) if isinstance(name, str) else None
