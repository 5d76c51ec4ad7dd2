"""The state folder: what is true now and must survive a restart, and what we own. Written whole, and atomically."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from dcedge.bgp.config import Line
from dcedge.errors import BusyError, StateError

_OWNED, _RUNTIME, _LAST_GOOD, _LOCK = "owned.json", "runtime.json", "last-good-order.yaml", "lock"
_PENDING, _PREVIOUS, _HISTORY = "pending.json", "previous-order.yaml", "history.jsonl"
_COMING, _INDICES = "coming.json", "indices.json"
_COMING_MAX = 64  # more links than this that are about to be made are written down with all the others
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def give_to_owner(descriptor: int, folder: Path) -> None:
    """A file that root makes in the state folder belongs to whom the folder belongs to: the daemon must read it."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


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
        return cls(order, previous, secrets, time.clock_gettime(time.CLOCK_BOOTTIME) + seconds, _boot_id())

    @property
    def seconds_left(self) -> float:
        """Time to the deadline; 0 where it is over, as it is after a reboot."""
        left = self.deadline - time.clock_gettime(time.CLOCK_BOOTTIME)
        return max(0.0, left) if self.boot_id == _boot_id() else 0.0

    def seconds_until(self, after_deadline: float, after_boot: float) -> float:
        """Time to so many seconds after the deadline; where that was before a reboot, after the boot."""
        same_boot = self.boot_id == _boot_id()
        return (self.deadline + after_deadline if same_boot else after_boot) - time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def digest_of(text: str) -> str:
    """What identifies an order's contents: SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Store:
    """One state folder, 0700. Raises StateError where it cannot be used."""

    KEPT: ClassVar = (_OWNED, _COMING, _RUNTIME, _INDICES, _LAST_GOOD, _PREVIOUS, _HISTORY)  # none of them has a secret

    folder: Path
    _read_once: dict[str, Owned] = field(default_factory=dict, repr=False, compare=False)
    _coming: set[str] = field(default_factory=set, repr=False, compare=False)

    def prepare(self) -> None:
        """Make the folder."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{self.folder}: {error.strerror}") from error

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Hold the one writer's lock; raises BusyError where another process has it."""
        self.prepare()
        try:
            descriptor = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{self.folder / _LOCK}: {error.strerror}") from error
        try:
            give_to_owner(descriptor, self.folder)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(f"another dcedge is changing this router (lock {self.folder / _LOCK})") from error
            yield
        finally:
            os.close(descriptor)

    def owned(self) -> Owned:
        """What the state file says is ours; nothing where there is none yet. Read once: its writer is one process."""
        if _OWNED not in self._read_once:
            self._read_once[_OWNED] = self._read_owned()
        return self._read_once[_OWNED]

    def _read_owned(self) -> Owned:
        data, coming = self._read(_OWNED), self._read(_COMING)
        with self._of_the_right_shape(_OWNED):
            self._coming.update(coming.get("links", ()))
            return Owned(
                links=frozenset(data.get("links", ())) | self._coming,
                frr_lines=frozenset(Line(tuple(path), text) for *path, text in data.get("frr_lines", ())),
                frr_saved=str(data.get("frr_saved", "")),
                sysctl_before=dict(data.get("sysctl_before", {})),
                port_mtu_before=dict(data.get("port_mtu_before", {})),
            )

    @contextmanager
    def _of_the_right_shape(self, name: str) -> Iterator[None]:
        """What is JSON and still not what was written is said to be damaged, too."""
        try:
            yield
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise StateError(f"{self.folder / name} is damaged: {error}") from error

    def announce_links(self, names: Collection[str]) -> None:
        """Remember a few more links as ours, without writing down the thousands that are there already."""
        owned = self.owned()
        coming = self._coming.union(names)
        if len(coming) > _COMING_MAX:
            self.save_owned(replace(owned, links=owned.links | coming))
        elif coming != self._coming:
            self._write(_COMING, json.dumps({"links": sorted(coming)}))
            self._coming.update(coming)
            self._read_once[_OWNED] = replace(owned, links=owned.links | coming)

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
            self._write(_OWNED, json.dumps(data))
            self._read_once[_OWNED] = owned
            if self._coming:
                (self.folder / _COMING).unlink(missing_ok=True)
                self._coming.clear()

    def highest_index(self) -> int:
        """The highest interface index that any link had in this boot, as far as it was noted; 0 where none was."""
        noted = self._read(_INDICES)
        with self._of_the_right_shape(_INDICES):
            return int(noted["highest"]) if noted.get("boot_id") == _boot_id() else 0

    def save_highest_index(self, index: int) -> None:
        """Note the highest interface index so far: whoever makes links next goes on from there."""
        self._write(_INDICES, json.dumps({"boot_id": _boot_id(), "highest": index}))

    def runtime(self) -> Runtime:
        """The kept runtime."""
        data = self._read(_RUNTIME)
        with self._of_the_right_shape(_RUNTIME):
            return Runtime(*(frozenset(data.get(field.name, ())) for field in fields(Runtime)))

    def save_runtime(self, runtime: Runtime) -> None:
        """Keep the runtime."""
        data = {field.name: sorted(getattr(runtime, field.name)) for field in fields(runtime)}
        self._write(_RUNTIME, json.dumps(data, indent=1))

    @property
    def last_good_order(self) -> Path:
        """The contents of the order that was last put in force."""
        return self.folder / _LAST_GOOD

    @property
    def history(self) -> Path:
        """The file of the verdicts' transitions."""
        return self.folder / _HISTORY

    def save_last_good_order(self, text: str) -> None:
        """Keep an order's contents as the last good one, and the one before as the previous."""
        before = self.last_good()
        if before == text:
            return
        if before is not None:
            self._write(_PREVIOUS, before)
        self._write(_LAST_GOOD, text)

    def last_good(self) -> str | None:
        """The contents of the last good order; None before the first."""
        return self._text(_LAST_GOOD)

    def previous_order(self) -> str | None:
        """The contents of the order that was in force before the last good one."""
        return self._text(_PREVIOUS)

    def pending(self) -> Pending | None:
        """The order that waits for its confirmation."""
        data = self._read(_PENDING)
        with self._of_the_right_shape(_PENDING):
            return Pending(**data) if data else None

    def save_pending(self, pending: Pending) -> None:
        """Remember how to go back, before the first operation."""
        self._write(_PENDING, json.dumps(asdict(pending)))

    def clear_pending(self) -> None:
        """Nothing waits for a confirmation any more."""
        (self.folder / _PENDING).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget everything but the interface indices; the folder too where that leaves it empty.

        zebra remembers for minutes what was on them: the next links must not have the same ones.
        """
        self._read_once.clear()
        self._coming.clear()
        for name in (_OWNED, _COMING, _RUNTIME, _LAST_GOOD, _PENDING, _PREVIOUS, _HISTORY, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:
            return  # it holds those, or what is not ours

    def _text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.folder / name}: {error.strerror}") from error

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data = json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StateError(f"{self.folder / name}: {error.strerror}") from error
        except ValueError as error:
            raise StateError(f"{self.folder / name} is damaged, it is no JSON: {error}") from error
        if not isinstance(data, dict):
            raise StateError(f"{self.folder / name} is damaged: not an object")
        return data

    def _write(self, name: str, contents: str) -> None:
        self.prepare()
        path = self.folder / name
        temporary = self.folder / f".{name}.new"
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                give_to_owner(file.fileno(), self.folder)
                file.write(contents.encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise StateError(f"{path}: {error.strerror}") from error
