"""Files, for root, where another user can write: what stands there may be a link to anything, or a pipe."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePath


def open_plain(path: str | Path, flags: int, *, dir_fd: int | None = None) -> int:
    """The descriptor of a regular file with no other name, made (with O_CREAT) with mode 0600.

    Raises OSError where it is anything else. Not for what is to be cut (O_TRUNC): that would come before the look.
    """
    assert not flags & os.O_TRUNC
    # O_NONBLOCK: a pipe without a writer would be waited for.
    extra = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | extra, 0o600, dir_fd=dir_fd)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file with one name", str(path))
    return descriptor


def read_plain_file(folder: Path, name: str, most: int) -> bytes:
    """The first `most` bytes of a file in the folder, by its name or its path below it.

    Raises OSError where it is not a regular file with this one name, or where the path below the folder leads through a
    link or out of it. The folder itself may be a link: who can write in it cannot change where it is.
    """
    *folders, last = PurePath(name).parts
    if PurePath(name).is_absolute() or ".." in {*folders, last}:
        raise OSError(errno.EINVAL, "leads out of the folder", name)
    way = os.O_RDONLY | os.O_CLOEXEC
    place = os.open(folder, way | os.O_DIRECTORY)
    try:
        for part in folders:
            below = os.open(part, way | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = below
        descriptor = open_plain(last, os.O_RDONLY, dir_fd=place)
    finally:
        os.close(place)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)
