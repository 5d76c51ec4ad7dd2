"""Reading, as root, where another user can write: what stands there may be a link to anything, or a pipe."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePath


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
        # O_NONBLOCK: a pipe without a writer would be waited for.
        descriptor = os.open(last, way | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise OSError(errno.EINVAL, "not a regular file with one name", name)
        return file.read(most)
