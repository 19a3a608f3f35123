"""The vault: content under a data key of its subject, in a store of one's own, until that subject is erased."""

from .audit import Erasure
from .aws import AwsKms
from .errors import Erased, NotFound, Unavailable, Unreadable, VaultError
from .keyring import Keyring
from .keys import DataKey, Keys
from .vault import Kept, Vault

__all__ = [
    "AwsKms",
    "DataKey",
    "Erased",
    "Erasure",
    "Kept",
    "Keyring",
    "Keys",
    "NotFound",
    "Unavailable",
    "Unreadable",
    "Vault",
    "VaultError",
]
