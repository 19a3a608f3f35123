"""Data keys that AWS KMS has wrapped (envelope encryption), stored as objects."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigurationError
from .errors import Unavailable
from .keys import DataKey
from .objects import Place

_CONTEXT = "spanloom:subject"  # KMS unwraps a key for the subject that it was made for, and CloudTrail names it
_MISCONFIGURED = {
    "NotFoundException": "KMS knows no such key in this region",
    "AccessDeniedException": "KMS denies access: it needs kms:GenerateDataKey and kms:Decrypt",
    "DisabledException": "that key is disabled",
    "KMSInvalidStateException": "that key is not enabled",
    "InvalidKeyUsageException": "that key is not for encryption",
    "ValidationException": "KMS takes it for no key",
    "InvalidArnException": "KMS takes it for no key",
    "UnrecognizedClientException": "the credentials are not valid",
    "InvalidClientTokenId": "the credentials are not valid",
    "ExpiredTokenException": "the credentials have expired",
}


class AwsKms:
    """Data keys made by AWS KMS under the key `key_id` (an id, an alias or an ARN) and stored wrapped in `store`, any
    URL of fsspec's such as `s3://bucket/keys`, at `<store>/<pseudonym>/<key id>`.

    Without KMS the wrapped keys are worth nothing. An erasure deletes them, with all their versions, and asks again; a
    backup of `store` would undo it for whoever may use the KMS key: have none. `client` is a boto3 KMS client, or a
    function that makes one, which a process that forks needs; by default one for `region` and boto3's own settings.
    `storage_options` are the file system's own, as of `Vault`.
    Needs kms:GenerateDataKey and kms:Decrypt, and on S3 s3:ListBucketVersions and s3:DeleteObjectVersion.

    Raises `ConfigurationError`, as `open()` does where KMS or the store refuse.
    """

    def __init__(
        self,
        key_id: str,
        store: str,
        *,
        client: Any | Callable[[], Any] | None = None,
        region: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not key_id or not isinstance(key_id, str):
            raise ConfigurationError("AwsKms(…) wants the id, the alias or the ARN of a KMS key.")
        self.key_id, self._region, self._given = key_id, region, client
        self._place = Place(store, storage_options, "AwsKms(store=…)")
        if client is None:
            try:
                import boto3  # noqa: F401, PLC0415  an extra
            except ImportError as error:
                raise ConfigurationError("AwsKms(…) needs boto3: run `pip install 'spanloom[vault-aws]'`.") from error
        self._pid, self._client, self._lock = 0, None, threading.Lock()

    _client: Any

    def __repr__(self) -> str:
        return f"AwsKms({self.key_id!r}, {self._place!r})"

    def open(self) -> None:
        """Have KMS make a key, which is thrown away: nothing less shows that it may."""
        try:
            self._kms().generate_data_key(KeyId=self.key_id, KeySpec="AES_256", EncryptionContext={_CONTEXT: "open"})
        except Exception as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
            if code in ("NoRegionError", "NoCredentialsError", "PartialCredentialsError"):
                reason = "boto3 finds no region" if code == "NoRegionError" else "boto3 finds no credentials"
                raise ConfigurationError(f"AwsKms({self.key_id!r}): {reason}.") from error
            if code in _MISCONFIGURED:
                raise ConfigurationError(f"AwsKms({self.key_id!r}): {_MISCONFIGURED[code]}.") from error
            # KMS is out of reach for the moment: keeping tries again
        self._place.check(lambda objects: objects.get("none"))

    def create(self, subject: str) -> DataKey:
        made = self._kms().generate_data_key(
            KeyId=self.key_id, KeySpec="AES_256", EncryptionContext={_CONTEXT: subject}
        )
        key = DataKey(os.urandom(16).hex(), made["Plaintext"])
        self._place.objects().put(f"{subject}/{key.id}", made["CiphertextBlob"])
        return key

    def get(self, subject: str, key_id: str) -> bytes | None:
        wrapped = self._place.objects().get(f"{subject}/{key_id}")
        if wrapped is None:
            return None
        unwrapped = self._kms().decrypt(CiphertextBlob=wrapped, EncryptionContext={_CONTEXT: subject})
        return bytes(unwrapped["Plaintext"])

    def holds(self, subject: str, key_id: str) -> bool:
        return self._place.objects().get(f"{subject}/{key_id}") is not None

    def ids(self, subject: str) -> list[str]:
        return [path.rpartition("/")[2] for path in self._place.objects().under(subject)]

    def destroy(self, subject: str) -> int:
        ids = self.ids(subject)
        self._place.objects().remove_under(subject)
        if left := set(ids).intersection(self.ids(subject)):
            raise Unavailable(f"The store of the wrapped keys still has {len(left)} of {len(ids)} that were deleted.")
        return len(ids)

    def _kms(self) -> Any:
        """A client of this process's own."""
        if self._given is not None and not callable(self._given):
            return self._given
        if self._pid not in (0, os.getpid()):  # forked: the parent may have held the lock
            self._pid, self._lock = 0, threading.Lock()
        with self._lock:
            if not self._pid:
                if self._given is not None:
                    self._client = self._given()
                else:
                    import boto3  # noqa: PLC0415
                    from botocore.config import Config  # noqa: PLC0415

                    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
                    self._client = boto3.session.Session().client("kms", region_name=self._region, config=config)
                self._pid = os.getpid()
            return self._client
