"""What reading and erasing raise. Messages name references and pseudonyms, no content, key or subject."""

from __future__ import annotations


class VaultError(Exception):
    """The vault cannot do what it was asked. The message is one sentence."""


class Erased(VaultError):  # noqa: N818  a state, not a fault
    """The content was erased: its key is destroyed."""


class NotFound(VaultError):  # noqa: N818
    """Nothing is stored under this reference."""


class Unreadable(VaultError):  # noqa: N818
    """What is stored was damaged or altered, or its key is not among the vault's keys."""


class Unavailable(VaultError):  # noqa: N818
    """The store or the key provider cannot be reached, or refuses."""
