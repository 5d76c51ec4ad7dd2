"""What is true now and must survive a restart, and what we own: in memory first, and in files of the state folder.

Nothing on the router waits for a file. What cannot be written is kept in memory, told (`troubles`), and written when
that is possible again (`write_owed`); what cannot be read is as if it were not there, and one that is damaged is set
aside. Only what is to undo a change must be on disk before that change begins: see `save_pending`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from dcedge.bgp.config import Line
from dcedge.errors import BusyError, StateError
from dcedge.plain_files import open_plain
from dcedge.state_dir import StateDir

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 1  # of every JSON file here; a later dcedge may know another one
OWNED, RUNTIME, INDICES, PENDING = "owned.json", "runtime.json", "indices.json", "pending.json"
LAST_GOOD, PREVIOUS, HISTORY = "last-good-order.yaml", "previous-order.yaml", "history.jsonl"
RUN_FOLDER = Path("/run/dcedge")
LOCK_SECONDS = 0.05  # between two looks at the lock
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FORGOTTEN = {  # by a restart, where the file cannot be written
    OWNED: "what was here before dcedge (settings, MTUs), which a purge puts back",
    RUNTIME: "what is drained, and which orders were rolled back",
    INDICES: "which interface indices were used already",
    LAST_GOOD: "the order in force, where the file is bad by then",
    PREVIOUS: "the order before this one",
    PENDING: "that an order was rolled back",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """True now, not ordered, and to be kept over a restart."""

    drained: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()  # digests of orders that were rolled back
    withdrawn: frozenset[str] = frozenset()  # virtual interfaces whose static routes lead nowhere now
    bfd_waits: frozenset[str] = frozenset()  # BGP sessions that are set up without BFD (bgp/bfd.py)


@dataclass(frozen=True, slots=True)
class Owned:
    """The second witness of what is ours, beside the marks in the kernel and in FRR."""

    links: frozenset[str] = frozenset()
    frr_lines: frozenset[Line] = frozenset()  # those that do not show by themselves whose they are; no secret
    frr_saved: str = ""  # the fingerprint of our part of FRR's configuration that FRR has saved
    sysctl_before: Mapping[str, int] = field(default_factory=dict)  # what a setting was before we first changed it
    port_mtu_before: Mapping[str, int] = field(default_factory=dict)  # likewise of ports

    def with_port_mtu(self, port: str, before: int) -> Owned:
        """The same, remembering a port's first MTU."""
        known = self.port_mtu_before
        return self if port in known else replace(self, port_mtu_before={**known, port: before})

    def with_sysctl(self, path: str, before: int) -> Owned:
        """The same, remembering a setting's first value."""
        return self if path in self.sysctl_before else replace(self, sysctl_before={**self.sysctl_before, path: before})


@dataclass(frozen=True, slots=True)
class Pending:
    """An order that is in force until its deadline, unless it is confirmed; and all it takes to go back.

    `previous` is None where nothing was ordered before: going back is then removing everything. `secrets` are those of
    the previous order, by the JSON of their Credential: the files may hold others by then.
    """

    order: str
    previous: str | None
    secrets: Mapping[str, str] = field(repr=False)
    deadline: float  # seconds of CLOCK_BOOTTIME, which no clock change moves
    boot_id: str

    @classmethod
    def starting(cls, order: str, previous: str | None, secrets: Mapping[str, str], seconds: float) -> Pending:
        """One whose time begins now."""
        return cls(order, previous, secrets, boot_time() + seconds, boot_id())

    @property
    def seconds_left(self) -> float:
        """Time to the deadline; 0 where it is over, as it is after a reboot."""
        left = self.deadline - boot_time()
        return max(0.0, left) if self.boot_id == boot_id() else 0.0

    def seconds_until(self, after_deadline: float, after_boot: float) -> float:
        """Time to so many seconds after the deadline; where that was before a reboot, after the boot."""
        same_boot = self.boot_id == boot_id()
        return (self.deadline + after_deadline if same_boot else after_boot) - boot_time()


def boot_id() -> str:
    """What the kernel calls this boot (random(4))."""
    return _BOOT_ID.read_text().strip()


def boot_time() -> float:
    """Seconds since the boot, sleep included (CLOCK_BOOTTIME): no change of the clock moves them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def digest_of(text: str) -> str:
    """What identifies an order's contents: SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """One state folder. Who changes anything holds `writer`; others only read, and need permission: else StateError."""

    KEPT: ClassVar = (OWNED, RUNTIME, INDICES, LAST_GOOD, PREVIOUS, HISTORY)  # none of them has a secret

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dir = StateDir(folder)
        self._writes = False
        self._values: dict[str, Any] = {}  # as they were last read or meant to be written, by file
        self._owed: dict[str, bytes | None] = {}  # what is to be written yet (None: removed), by file
        self._unwritten: dict[str, str] = {}  # why that was not possible, by file
        self._unread: dict[str, str] = {}  # what was wrong with a file that was read, by file
        self._turn = threading.RLock()  # passes, polls and commands run in threads of their own

    @contextmanager
    def writer(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the one writer's lock, and read each file once.

        Raises BusyError where another process has it, for longer than `patience` seconds.
        """
        descriptor = _lock(self.lock, time.monotonic() + patience)
        self._values = {name: value for name, value in self._values.items() if name in self._owed}
        self._writes = True
        try:
            yield
        finally:
            self._writes = False
            if descriptor is not None:
                with suppress(OSError):
                    self.lock.unlink()
                os.close(descriptor)

    @property
    def lock(self) -> Path:
        """The lock file. Not in the state folder, which may be full, read-only, or gone."""
        if self.folder == Path("/var/lib/dcedge"):
            return RUN_FOLDER / "lock"
        return RUN_FOLDER / f"lock-{digest_of(str(self.folder.resolve()))[:12]}"

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the files, in words; empty where nothing is."""
        unwritten = (
            f"{self.folder / name} cannot be written ({why}): a restart would forget {_FORGOTTEN[name]}"
            for name, why in sorted(self._unwritten.items())
        )
        return (*unwritten, *(f"{self.folder / name} {why}" for name, why in sorted(self._unread.items())))

    @property
    def unwritten(self) -> int:
        """How many files are not as they should be, since they cannot be written."""
        return len(self._unwritten)

    def write_owed(self) -> bool:
        """Try again what could not be written; whether nothing is owed any more."""
        with self._turn:
            for name in list(self._owed):
                if name in self._owed:
                    self._write_now(name)
            return not self._owed

    @property
    def pending_lost(self) -> bool:
        """Whether there was an order that waited for its confirmation, and nothing more is known of it."""
        return PENDING in self._unread and self._values.get(PENDING) is None

    def owned(self) -> Owned:
        """What is ours; nothing where that is not known."""
        return self._value(OWNED, _owned_from, Owned())

    def save_owned(self, owned: Owned) -> None:
        """Remember what is ours; no write where nothing changed."""
        if owned != self.owned():
            data = {
                "links": sorted(owned.links),
                "frr_lines": sorted([*line.path, line.text] for line in owned.frr_lines),
                "frr_saved": owned.frr_saved,
                "sysctl_before": dict(owned.sysctl_before),
                "port_mtu_before": dict(owned.port_mtu_before),
            }
            self._keep(OWNED, owned, _dumped(data))

    def highest_index(self) -> int:
        """The highest interface index that any link had in this boot, as far as it was noted; 0 where none was."""
        return self._value(INDICES, _index_from, 0)

    def save_highest_index(self, index: int) -> None:
        """Note the highest interface index so far: whoever makes links next goes on from there."""
        self._keep(INDICES, index, _dumped({"boot_id": boot_id(), "highest": index}))

    def runtime(self) -> Runtime:
        """The kept runtime."""
        return self._value(RUNTIME, _runtime_from, Runtime())

    def save_runtime(self, runtime: Runtime) -> None:
        """Keep the runtime."""
        data = {field.name: sorted(getattr(runtime, field.name)) for field in fields(runtime)}
        self._keep(RUNTIME, runtime, _dumped(data))

    def change_runtime(self, **changes: frozenset[str]) -> None:
        """Change some of it, while others may change the rest."""
        with self._turn:
            self.save_runtime(replace(self.runtime(), **changes))

    def accept(self, digest: str) -> None:
        """Forget that an order was rejected: somebody asks for it now."""
        with self._turn:
            rejected = self.runtime().rejected
            if digest in rejected:
                self.change_runtime(rejected=rejected - {digest})

    @property
    def last_good_order(self) -> Path:
        """The file of the order that was last put in force."""
        return self.folder / LAST_GOOD

    @property
    def history(self) -> Path:
        """The file of the verdicts' transitions."""
        return self.folder / HISTORY

    def last_good(self) -> str | None:
        """The contents of the last good order; None before the first."""
        return self._value(LAST_GOOD, _text_from, None)

    def previous_order(self) -> str | None:
        """The contents of the order that was in force before the last good one; None where that was rejected."""
        return self._value(PREVIOUS, _text_from, None)

    def save_last_good_order(self, text: str) -> None:
        """Keep an order's contents as the last good one, and the one before as the previous.

        It is in force for good: of an earlier rollback that could not be written down nothing is to come back.
        """
        with self._turn:
            if PENDING in self._owed:
                self._write(PENDING)
        before = self.last_good()
        if before == text:
            return
        if before is not None:
            self._keep(PREVIOUS, before, _encoded(before))
        self._keep(LAST_GOOD, text, _encoded(text))

    def save_rolled_back(self, text: str | None, rejected: str) -> None:
        """Keep `text` as the last good order, with none before it, and remember that the other one was rejected."""
        with self._turn:
            self.change_runtime(rejected=self.runtime().rejected | {digest_of(rejected)})
        self._keep(PREVIOUS, None, None)
        self._keep(LAST_GOOD, text, None if text is None else _encoded(text))

    def pending(self) -> Pending | None:
        """The order that waits for its confirmation."""
        return self._value(PENDING, _pending_from, None)

    def save_pending(self, pending: Pending) -> None:
        """Remember how to go back, before the first operation. Raises StateError where that cannot be kept."""
        with self._turn:
            try:
                self.dir.write(PENDING, _dumped(asdict(pending)))
            except OSError as error:
                if PENDING not in self._owed:  # else what is there still tells of an earlier rollback
                    with suppress(OSError):
                        self.dir.remove(PENDING)  # it may be there, and not for sure
                raise StateError(f"{self.folder / PENDING}: {error.strerror or error}: nothing was changed") from error
            self._settle(PENDING, pending)

    def expire_pending(self) -> None:
        """Its time is over, whatever was left of it: a restart is to go back too.

        Where that cannot be written a restart gives it what was left.
        """
        with self._turn:
            pending = self.pending()
            if pending is None or not pending.seconds_left:
                return
            expired = replace(pending, deadline=0.0)
            self._values[PENDING] = expired
            with suppress(OSError):
                self.dir.write(PENDING, _dumped(asdict(expired)))

    def drop_pending(self) -> None:
        """Nothing waits for a confirmation any more. Raises StateError where a restart would still think so."""
        with self._turn:
            try:
                self.dir.remove(PENDING)
            except OSError as error:
                raise StateError(f"{self.folder / PENDING}: {error.strerror or error}") from error
            self._settle(PENDING, None)

    def forget_pending(self) -> None:
        """Nothing waits any more; its file goes once all else is written, since until then it is the one witness."""
        self._keep(PENDING, None, None)

    def clear(self) -> None:
        """Forget everything but the interface indices; the folder too where that leaves it empty. Raises StateError.

        zebra remembers for minutes what was on them: the next links must not have the same ones.
        """
        with self._turn:
            for known in (self._values, self._owed, self._unwritten, self._unread):
                known.clear()
        try:
            for name in (OWNED, RUNTIME, LAST_GOOD, PENDING, PREVIOUS, HISTORY):
                self.dir.remove(name)
        except OSError as error:
            raise StateError(f"{self.folder}: {error.strerror or error}") from error
        try:
            self.folder.rmdir()
        except OSError:
            return  # it holds those, or what is not ours

    def _value(self, name: str, parse: Callable[[bytes], T], empty: T) -> T:
        """What a file says, as its one writer last read or meant it; what it cannot tell is `empty`."""
        if self._writes and name in self._values:
            value: T = self._values[name]  # at once, though a disk that hangs keeps another thread waiting
            return value
        with self._turn:
            return self._read(name, parse, empty)

    def _read(self, name: str, parse: Callable[[bytes], T], empty: T) -> T:
        if name in self._owed:
            value: T = self._values[name]
            return value
        try:
            contents = self.dir.read(name)
        except OSError as error:
            if isinstance(error, PermissionError) and not self._writes:
                raise StateError(f"{self.folder / name}: {error.strerror}") from error
            self._tell_unread(name, f"cannot be read ({error.strerror or error})")
            return self._values.get(name, empty)  # type: ignore[no-any-return]
        if contents is None:
            value = empty
        else:
            try:
                value = parse(contents)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
                self._set_aside(name, f"{name}.damaged", f"was damaged ({error})")
                value = self._values.get(name, empty)
            else:
                self._look_at_version(name, contents)
        self._values[name] = value
        return value

    def _look_at_version(self, name: str, contents: bytes) -> None:
        """What a later dcedge wrote is read as far as it is understood, and kept beside before it is written over."""
        if not name.endswith(".json") or (version := json.loads(contents).get("version", VERSION)) <= VERSION:
            return
        self._set_aside(name, f"{name}.version-{version}", "was written by a later dcedge")
        if self._writes:
            self._owed[name] = contents.replace(b'"version": %d' % version, b'"version": %d' % VERSION)
            self._write_now(name)

    def _set_aside(self, name: str, other: str, why: str) -> None:
        if not self._writes:
            self._unread[name] = why
            return
        try:
            self.dir.rename(name, other)
        except OSError as error:
            self._tell_unread(name, f"{why} and cannot be set aside ({error.strerror or error})")
        else:
            self._tell_unread(name, f"{why}: it is kept as {other}")

    def _tell_unread(self, name: str, why: str) -> None:
        if self._writes and self._unread.get(name) != why:
            log.error("%s %s", self.folder / name, why)
        self._unread[name] = why

    def _keep(self, name: str, value: object, contents: bytes | None) -> None:
        with self._turn:
            self._values[name] = value
            self._owed[name] = contents
            self._write_now(name)

    def _settle(self, name: str, value: object) -> None:
        """A file is as it should be."""
        self._values[name] = value
        self._owed.pop(name, None)
        self._unwritten.pop(name, None)

    def _write_now(self, name: str) -> None:
        if name == PENDING and len(self._owed) > 1:
            self._unwritten[name] = "it goes when the others are written"
            return  # while it is there a restart goes back, whatever the other files say
        self._write(name)

    def _write(self, name: str) -> None:
        contents = self._owed[name]
        try:
            if contents is None:
                self.dir.remove(name)
            else:
                self.dir.write(name, contents)
        except OSError as error:
            why = error.strerror or str(error)
            if self._unwritten.get(name) != why:
                log.error("%s cannot be written: %s", self.folder / name, why)
            self._unwritten[name] = why
        else:
            if self._unwritten.pop(name, None) is not None:
                log.info("%s is written again", self.folder / name)
            del self._owed[name]
            if PENDING in self._owed and name != PENDING:
                self._write_now(PENDING)


def _lock(path: Path, deadline: float) -> int | None:
    """The lock file's descriptor, locked; None where there is no place for such a file: then nobody has it either.

    Raises BusyError.
    """
    while True:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = open_plain(path, os.O_CREAT | os.O_RDWR)
        except PermissionError as error:
            raise BusyError(f"{path}: {error.strerror}: it is another user's") from error
        except OSError as error:
            why = f"{path}: {error.strerror}"
            log.error("no lock (%s): nothing keeps another dcedge from changing this router too", why)
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
            time.sleep(LOCK_SECONDS)


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


def _dumped(data: Mapping[str, object]) -> bytes:
    return json.dumps({"version": VERSION, **data}).encode()


def _object(contents: bytes) -> dict[str, Any]:
    data = json.loads(contents)
    if not isinstance(data, dict):
        raise TypeError("not an object")
    if not isinstance(data.get("version", VERSION), int):
        raise TypeError("no version")
    return data


def _owned_from(contents: bytes) -> Owned:
    data = _object(contents)
    return Owned(
        links=_names(data.get("links", ())),
        frr_lines=frozenset(Line(tuple(path), text) for *path, text in data.get("frr_lines", ())),
        frr_saved=str(data.get("frr_saved", "")),
        sysctl_before=_numbers(data.get("sysctl_before", {})),
        port_mtu_before=_numbers(data.get("port_mtu_before", {})),
    )


def _runtime_from(contents: bytes) -> Runtime:
    data = _object(contents)
    return Runtime(*(_names(data.get(field.name, ())) for field in fields(Runtime)))


def _index_from(contents: bytes) -> int:
    data = _object(contents)
    return int(data["highest"]) if data["boot_id"] == boot_id() else 0


def _pending_from(contents: bytes) -> Pending | None:
    data = _object(contents)
    known = {field.name: data[field.name] for field in fields(Pending)}
    if not isinstance(known["order"], str) or not isinstance(known["previous"], str | None):
        raise TypeError("no order")
    return Pending(**{**known, "deadline": float(known["deadline"]), "secrets": dict(known["secrets"])})


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text_from(contents: bytes) -> str | None:
    return contents.decode("utf-8", "surrogatepass")


def _names(value: object) -> frozenset[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise TypeError("not a list of names")
    return frozenset(value)


def _numbers(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or not all(type(number) is int for number in value.values()):
        raise TypeError("not numbers by name")
    return dict(value)
