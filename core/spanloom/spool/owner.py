"""Who owns which batches: a lock that the kernel holds for a process while it lives.

A lock, and no lease with an expiry: it needs no clock, so a clock that jumps gives nothing away; a suspended process
keeps what is its own; and it ends with the process, however that ends.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def can_lock() -> bool:
    return fcntl is not None


class Owner:
    """One process's claim on its batches in the spool at `path`, by a file beside it. `OSError` where none can be had.

    The file is a claim only while it is locked; one that is left over is taken away by whoever finds it.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._pid = os.getpid()
        self._file = _file_of(path, self.name)
        self._fd = self._claimed()

    def hold(self) -> None:
        """Claim again, where somebody took the file away while this process lives. `OSError` where that cannot be."""
        with suppress(FileNotFoundError):
            if os.path.samestat(self._file.stat(), os.fstat(self._fd)):
                return
        former, self._fd = self._fd, self._claimed()
        os.close(former)

    def _claimed(self) -> int:
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd

    def release(self) -> None:
        """Give up the claim: whatever is left is for others."""
        if self._fd < 0:
            return
        if self._pid == os.getpid():
            self._file.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1


def is_alive(path: Path, name: str) -> bool:
    """Whether the owner of that name still holds its lock; takes away what a dead one left."""
    file = _file_of(path, name)
    try:
        fd = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's: not for us to judge
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    file.unlink(missing_ok=True)
    return False


def _file_of(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}-owner-{name}")
