"""Where objects are stored: a local folder, or any file system of fsspec's. Bytes by path, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigurationError

EXTRA = "run `pip install 'spanloom[vault]'`"
_FLAT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"})  # no folders to make
_REFUSALS = (PermissionError, FileNotFoundError, NotADirectoryError)
_AT_ONCE = 1_000  # versions that S3 lists, and deletes, with one request
_TRIES = 3


class Objects(Protocol):
    """Bytes by path. Every method raises whatever the store raises."""

    def put(self, path: str, data: bytes) -> None:
        """Write an object whole or not at all, durably."""

    def get(self, path: str) -> bytes | None:
        """None where there is none."""

    def under(self, prefix: str) -> list[str]:
        """The paths of all objects below a folder, sorted."""

    def remove(self, path: str) -> None:
        """Delete one object, with all its versions; nothing where there is none."""

    def remove_under(self, prefix: str) -> None:
        """Delete a folder and all below it, with all versions."""


class Folder:
    """A local folder. Folders are 0700, files 0600; a file appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, data: bytes) -> None:
        target = self.root / path
        for left in range(_TRIES - 1, -1, -1):
            try:
                _make_private_folders(target.parent)
                _write(target, data)
                return
            except FileNotFoundError:  # an erasure took the folder away meanwhile
                if not left:
                    raise

    def get(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None

    def under(self, prefix: str) -> list[str]:
        return sorted(
            (Path(folder) / name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(self.root / prefix)
            for name in names
            if not name.endswith(".tmp")  # left by a crash, or being written
        )

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def remove_under(self, prefix: str) -> None:
        for left in range(_TRIES - 1, -1, -1):
            try:
                shutil.rmtree(self.root / prefix)
                return
            except FileNotFoundError:
                if not (self.root / prefix).exists():
                    return
            except OSError:  # another process wrote into it meanwhile
                if not left:
                    raise


def _make_private_folders(path: Path) -> None:
    """`os.makedirs` gives its mode to the last folder only."""
    if not path.is_dir():
        if path.parent != path:
            _make_private_folders(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def _write(target: Path, data: bytes) -> None:
    part = target.with_name(f"{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Remote:
    """A file system of fsspec's. On S3 a deletion takes every version along; elsewhere the current one only."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs, self._root = fs, root.rstrip("/")
        protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
        self._flat, self._s3 = bool(_FLAT.intersection(protocols)), "s3" in protocols

    def put(self, path: str, data: bytes) -> None:
        if not self._flat:
            self._fs.makedirs(self._whole(path).rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(self._whole(path), data)

    def get(self, path: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(self._whole(path)))
        except FileNotFoundError:
            return None

    def under(self, prefix: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(self._whole(prefix))
        except FileNotFoundError:
            return []
        start = len(self._whole(""))
        return sorted(path[start:] for path in found)

    def remove(self, path: str) -> None:
        if self._s3:
            self._remove_versions(self._whole(path), exactly=True)
        else:
            with suppress(FileNotFoundError):
                self._fs.rm_file(self._whole(path))

    def remove_under(self, prefix: str) -> None:
        if self._s3:
            self._remove_versions(self._whole(prefix) + "/", exactly=False)
            return
        for path in self.under(prefix):
            self.remove(path)
        with suppress(Exception):  # the empty folders, where there are folders
            self._fs.rm(self._whole(prefix), recursive=True)

    def _whole(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _remove_versions(self, name: str, *, exactly: bool) -> None:
        """Delete every version and every delete marker, and see that they are gone. s3fs itself deletes the current
        version only."""
        bucket, _, key = name.partition("/")
        found = self._versions(bucket, key, exactly=exactly)
        for at in range(0, len(found), _AT_ONCE):
            some = [{"Key": key, "VersionId": version} for key, version in found[at : at + _AT_ONCE]]
            self._fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        self._fs.invalidate_cache()
        if found and (left := set(found).intersection(self._versions(bucket, key, exactly=exactly))):
            raise PermissionError(f"{len(left)} of {len(found)} versions are still there")

    def _versions(self, bucket: str, prefix: str, *, exactly: bool) -> list[tuple[str, str]]:
        """Keys and version ids: of the whole listing, since a page may not be found again once its end is deleted."""
        found: list[tuple[str, str]] = []
        marks: dict[str, str] = {}
        while True:
            page = self._fs.call_s3("list_object_versions", Bucket=bucket, Prefix=prefix, MaxKeys=_AT_ONCE, **marks)
            listed = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            found += [(v["Key"], v["VersionId"]) for v in listed if not exactly or v["Key"] == prefix]
            if not page.get("IsTruncated"):
                return found
            marks = {"KeyMarker": page["NextKeyMarker"]}
            if page.get("NextVersionIdMarker"):
                marks["VersionIdMarker"] = page["NextVersionIdMarker"]


class Place:
    """A store by its URL. The file system is made anew in each process: those with event loops survive no fork."""

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None, setting: str) -> None:
        """Raises `ConfigurationError` for a URL that cannot be one. `setting` is what messages call it."""
        try:
            import fsspec  # noqa: PLC0415  an extra
            from cryptography.hazmat.primitives.ciphers import aead  # noqa: F401, PLC0415
        except ImportError as error:
            raise ConfigurationError(f"A vault needs cryptography and fsspec: {EXTRA}.") from error
        self._setting, self._options = setting, dict(storage_options or {})
        url = os.fspath(url) if isinstance(url, (str, os.PathLike)) else ""
        if not url or "::" in url:
            raise ConfigurationError(
                f'{setting} needs a folder or one plain URL such as "s3://bucket/vault": a chained one keeps copies.'
            )
        scheme, colon, rest = url.partition("://")
        self._folder = None
        if not colon or scheme in ("file", "local"):
            self._folder = Path(rest if colon else url).expanduser().absolute()  # the application may change its folder
        else:
            try:
                fsspec.get_filesystem_class(scheme)
            except ImportError as error:
                extra = "run `pip install 'spanloom[vault-aws]'`" if scheme in ("s3", "s3a") else f"{error}"
                raise ConfigurationError(
                    f"{setting} names {scheme}://, which needs another package: {extra}."
                ) from error
            except ValueError as error:
                raise ConfigurationError(f"{setting} names {scheme}://, which fsspec does not know.") from error
            if not rest.strip("/"):
                raise ConfigurationError(f"{setting} names no place: write such as {scheme}://bucket/vault.")
        self._url = url
        self._begin()

    def __repr__(self) -> str:
        return repr(str(self._folder) if self._folder is not None else re.sub("//[^/@]*@", "//", self._url))

    def _begin(self) -> None:
        self._pid, self._objects, self._lock = os.getpid(), None, threading.Lock()

    def objects(self) -> Objects:
        """The store, in this process. Raises what the file system raises."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            if self._objects is None:
                self._objects = self._connect()
            return self._objects

    _objects: Objects | None

    def _connect(self) -> Objects:
        if self._folder is not None:
            return Folder(self._folder)
        from fsspec.core import url_to_fs  # noqa: PLC0415

        options: dict[str, Any] = dict(self._options)
        if self._url.startswith(("s3:", "s3a:")):  # a store that hangs must not hold a thread for minutes
            options["config_kwargs"] = {"connect_timeout": 5, "read_timeout": 10} | dict(
                options.get("config_kwargs", {})
            )
        fs, root = url_to_fs(self._url, skip_instance_cache=True, use_listings_cache=False, **options)
        return Remote(fs, root)

    def check(self, attempt: Callable[[Objects], object]) -> Exception | None:
        """Do `attempt`. `ConfigurationError` where the store refuses it; what else went wrong is returned: the store
        may be down for the moment."""
        try:
            attempt(self.objects())
        except _REFUSALS as error:
            raise ConfigurationError(f"{self._setting} cannot use {self!r}: {_reason(error)}.") from error
        except Exception as error:
            if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError"):
                raise ConfigurationError(f"{self._setting} cannot use {self!r}: no valid credentials.") from error
            if self._folder is not None and isinstance(error, OSError):
                reason = (error.strerror or type(error).__name__).lower()
                raise ConfigurationError(f"{self._setting} cannot use {self!r}: {reason}.") from error
            return error
        return None


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "permission denied"
    return "it is a file" if isinstance(error, NotADirectoryError) else "it does not exist"
