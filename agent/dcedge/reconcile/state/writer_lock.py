"""The lock of the one who changes this router: in /run, since the state folder may be full, read-only, or gone."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcedge.errors import BusyError
from dcedge.reconcile.state.plain_files import open_plain

log = logging.getLogger(__name__)

RUN_FOLDER = Path("/run/dcedge")
INSTALLED = Path("/var/lib/dcedge")  # a lab's state folders have locks of their own
LOOK_SECONDS = 0.05  # between two looks at the lock


def lock_path(state_folder: Path) -> Path:
    """The lock file of who changes what this state folder tells of."""
    if state_folder == INSTALLED:
        return RUN_FOLDER / "lock"
    return RUN_FOLDER / f"lock-{hashlib.sha256(os.fsencode(state_folder.resolve())).hexdigest()[:12]}"


@contextmanager
def writer_lock(state_folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock. Raises BusyError where another process has it for longer than `patience` seconds.

    Where there is no place for such a file nobody has it, and what is to be done is done without.
    """
    path = lock_path(state_folder)
    descriptor = _lock(path, time.monotonic() + patience)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _lock(path: Path, deadline: float) -> int | None:
    while True:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = open_plain(path, os.O_CREAT | os.O_RDWR)
        except PermissionError as error:
            raise BusyError(f"{path}: {error.strerror}: it is another user's") from error
        except OSError as error:
            why = f"{path}: {error.strerror}"
            log.error("no lock (%s): another dcedge could change this router at the same time", why)
            return None
        try:
            owner = path.parent.stat()
            if os.geteuid() == 0 and owner.st_uid != 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)  # the service must be able to open it
            locked = _locked(descriptor)
            if locked and _is_there(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody else's, or gone with whoever had it
        if not locked:
            if time.monotonic() >= deadline:
                raise BusyError(f"another dcedge is changing this router (lock {path})")
            time.sleep(LOOK_SECONDS)


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether a file is still the one of that name: who lets the lock go takes it away."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
