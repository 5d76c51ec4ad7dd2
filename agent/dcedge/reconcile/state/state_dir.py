"""A folder of small files that another user may own, read and written so that it cannot lead anybody astray.

What root does in a folder of the service's user is done with that user's rights (setfsuid(2)), through the folder's
own descriptor, and follows no link: else that user could have root write or read any file.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from dcedge.reconcile.state.plain_files import open_plain

READ_MOST = 64 * 1024 * 1024  # two orders of the greatest size, each character written as its number
_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_APPEND = os.O_CREAT | os.O_APPEND | os.O_WRONLY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class StateDir:
    """One folder, by its path; made with mode 0700 when something is written. OSError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, most: int = READ_MOST) -> bytes | None:
        """A file's contents; None where there is none. OSError with EFBIG where that is more than so many bytes."""
        try:
            with self._opened() as folder, os.fdopen(open_plain(name, os.O_RDONLY, dir_fd=folder), "rb") as file:
                contents = file.read(most + 1)
        except FileNotFoundError:
            return None
        if len(contents) > most:
            raise OSError(errno.EFBIG, f"larger than {most // 2**20} MiB")
        return contents

    def write(self, name: str, contents: bytes) -> None:
        """Replace a file's contents: whole, or not at all, also by a power failure."""
        temporary = f".{name}.new"
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opened() as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            with os.fdopen(open_plain(temporary, _CREATE, dir_fd=folder), "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def append(self, name: str, contents: bytes) -> int:
        """Add to a file, which is made where there is none; its size in bytes afterwards."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opened() as folder, os.fdopen(open_plain(name, _APPEND, dir_fd=folder), "ab") as file:
            file.write(contents)
            return file.tell()

    def rename(self, name: str, other: str) -> None:
        """Give a file another name."""
        with self._opened() as folder:
            os.rename(name, other, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def remove(self, name: str) -> None:
        """Remove a file; fine where there is none."""
        with contextlib.suppress(FileNotFoundError), self._opened() as folder:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        folder = os.open(self.path, _FOLDER)
        try:
            owner = os.fstat(folder)
            with _with_rights_of(owner.st_uid, owner.st_gid):
                yield folder
        finally:
            os.close(folder)


@contextlib.contextmanager
def with_rights_of_owner(folder: Path) -> Iterator[None]:
    """Have root's thread use files as the folder's owner would: what stands there may name any. Raises OSError."""
    owner = folder.stat()
    with _with_rights_of(owner.st_uid, owner.st_gid):
        yield


@contextlib.contextmanager
def _with_rights_of(uid: int, gid: int) -> Iterator[None]:
    """Have root's thread use files as that user would; what it makes is that user's."""
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    group = _LIBC.setfsgid(gid)
    user = _LIBC.setfsuid(uid)
    try:
        yield
    finally:
        _LIBC.setfsuid(user)
        _LIBC.setfsgid(group)
