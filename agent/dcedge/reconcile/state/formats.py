"""What the files of the state folder hold, as values, and how they are written there. None but PENDING has a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

from dcedge.frr.config import ConfigLine
from dcedge.kernel.link.resource import INDEX_MAX, Found
from dcedge.kernel.link.sysctls import IPV4_CONF, IPV6_CONF
from dcedge.logging.masking import hold
from dcedge.order.credentials import restored_secrets
from dcedge.reconcile import clock

T = TypeVar("T")

_DEADLINE_MAX = 2.0**32  # seconds since boot
VERSION = 1  # of every JSON file here; a later dcedge may know another one


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
    frr_lines: frozenset[ConfigLine] = frozenset()  # those that do not show by themselves whose they are; no secret
    frr_saved: str = ""  # the fingerprint of our part of FRR's configuration that FRR has saved
    sysctl_before: Mapping[str, int] = field(default_factory=dict)  # what a setting was before we first changed it
    port_mtu_before: Mapping[str, int] = field(default_factory=dict)  # likewise of ports
    ports_found: Mapping[str, Found] = field(default_factory=dict)  # those that a virtual interface has for itself
    cards: Mapping[str, str] = field(default_factory=dict)  # permanent addresses, by the order's names for its ports

    def with_port_mtu(self, port: str, before: int) -> Owned:
        """The same, remembering a port's first MTU."""
        known = self.port_mtu_before
        return self if port in known else replace(self, port_mtu_before={**known, port: before})

    def with_ports(self, found: Mapping[str, Found]) -> Owned:
        """The same, remembering what ports were before a virtual interface had them for itself; the first counts."""
        return replace(self, ports_found={**found, **self.ports_found}) if found else self

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
        return cls(order, previous, secrets, clock.since_boot() + seconds, clock.boot_id())

    @property
    def seconds_left(self) -> float:
        """Time to the deadline; 0 where it is over, as it is after a reboot."""
        left = self.deadline - clock.since_boot()
        return max(0.0, left) if self.boot_id == clock.boot_id() else 0.0

    def seconds_until(self, after_deadline: float, after_boot: float) -> float:
        """Time to so many seconds after the deadline; where that was before a reboot, after the boot."""
        same_boot = self.boot_id == clock.boot_id()
        return (self.deadline + after_deadline if same_boot else after_boot) - clock.since_boot()


@dataclass(frozen=True, slots=True)
class Format(Generic[T]):
    """One of the files: how its contents are read (ValueError, TypeError, KeyError…: they are damaged) and written.

    `empty` is what holds without a file, and `contents` are None for what has none; `forgotten` says what a restart
    would forget without it.
    """

    name: str
    parsed: Callable[[bytes], T]
    contents: Callable[[T], bytes | None]
    empty: T
    forgotten: str


def version_of(name: str, contents: bytes) -> int:
    """Which version of its format a file has, that can be read otherwise."""
    return int(json.loads(contents).get("version", VERSION)) if name.endswith(".json") else VERSION


def with_our_version(contents: bytes, version: int) -> bytes:
    """The contents of a file of a later version, as one of ours: what is not known stays in it."""
    return contents.replace(b'"version": %d' % version, b'"version": %d' % VERSION)


def _dumped(data: Mapping[str, object]) -> bytes:
    return json.dumps({"version": VERSION, **data}).encode()


def _object(contents: bytes) -> dict[str, Any]:
    data = json.loads(contents)
    if not isinstance(data, dict):
        raise TypeError("not an object")
    if not isinstance(data.get("version", VERSION), int):
        raise TypeError("no version")
    return data


def _names(value: object) -> frozenset[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise TypeError("not a list of names")
    return frozenset(value)


def _numbers(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or not all(type(number) is int for number in value.values()):
        raise TypeError("not numbers by name")
    return dict(value)


def _owned_from(contents: bytes) -> Owned:
    data = _object(contents)
    return Owned(
        links=_names(data.get("links", ())),
        frr_lines=frozenset(ConfigLine(tuple(path), text) for *path, text in data.get("frr_lines", ())),
        frr_saved=str(data.get("frr_saved", "")),
        sysctl_before=_numbers(data.get("sysctl_before", {})),
        port_mtu_before=_numbers(data.get("port_mtu_before", {})),
        ports_found={str(name): _found_from(found) for name, found in data.get("ports_found", {}).items()},
        cards={str(name): str(card) for name, card in data.get("cards", {}).items()},
    )


def _found_from(data: Mapping[str, Any]) -> Found:
    """What is read is put back by root: only settings that dcedge itself makes."""
    known4, known6 = dict(IPV4_CONF), dict(IPV6_CONF)
    conf4, conf6 = _numbers(data["ipv4"]), _numbers(data["ipv6"])
    if conf4.keys() - known4.keys() or conf6.keys() - known6.keys() or not isinstance(data["alias"], str):
        raise TypeError("no port's settings")
    up = data.get("up", True)
    if type(up) is not bool:
        raise TypeError("neither up nor down")
    return Found(data["alias"], int(data["mtu"]), tuple(conf4.items()), tuple(conf6.items()), up)


def _owned_contents(owned: Owned) -> bytes:
    return _dumped(
        {
            "links": sorted(owned.links),
            "frr_lines": sorted([*line.path, line.text] for line in owned.frr_lines),
            "frr_saved": owned.frr_saved,
            "sysctl_before": dict(owned.sysctl_before),
            "port_mtu_before": dict(owned.port_mtu_before),
            "ports_found": {
                name: {
                    "alias": one.alias,
                    "mtu": one.mtu,
                    "ipv4": dict(one.conf4),
                    "ipv6": dict(one.conf6),
                    "up": one.up,
                }
                for name, one in sorted(owned.ports_found.items())
            },
            "cards": dict(owned.cards),
        }
    )


def _runtime_from(contents: bytes) -> Runtime:
    data = _object(contents)
    return Runtime(*(_names(data.get(field.name, ())) for field in fields(Runtime)))


def _runtime_contents(runtime: Runtime) -> bytes:
    return _dumped({field.name: sorted(getattr(runtime, field.name)) for field in fields(runtime)})


def _index_from(contents: bytes) -> int:
    data = _object(contents)
    highest = data["highest"]
    if type(highest) is not int or not 0 <= highest < INDEX_MAX:
        raise ValueError("no interface index")
    return highest if data["boot_id"] == clock.boot_id() else 0


def _index_contents(index: int) -> bytes:
    return _dumped({"boot_id": clock.boot_id(), "highest": index})


def _pending_from(contents: bytes) -> Pending | None:
    data = _object(contents)
    known = {field.name: data[field.name] for field in fields(Pending)}
    if not isinstance(known["order"], str) or not isinstance(known["previous"], str | None):
        raise TypeError("no order")
    deadline, secrets = float(known["deadline"]), dict(known["secrets"])
    if not 0 <= deadline < _DEADLINE_MAX or not isinstance(known["boot_id"], str):
        raise ValueError("no deadline")
    if not all(isinstance(secret, str) for secret in secrets.values()):
        raise TypeError("no secrets")
    for secret in secrets.values():
        hold(secret)  # it is hidden from what is told, though its place in here may be damaged
    restored_secrets(secrets)
    return Pending(**{**known, "deadline": deadline, "secrets": secrets})


def _pending_contents(pending: Pending | None) -> bytes | None:
    return None if pending is None else _dumped(asdict(pending))


def _text_from(contents: bytes) -> str | None:
    return contents.decode("utf-8", "surrogatepass")


def _text_contents(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


OWNED = Format(
    "owned.json",
    _owned_from,
    _owned_contents,
    Owned(),
    "the settings and MTUs from before dcedge, which a purge restores",
)
RUNTIME = Format(
    "runtime.json", _runtime_from, _runtime_contents, Runtime(), "what is drained, and which orders were rolled back"
)
INDICES = Format("indices.json", _index_from, _index_contents, 0, "which interface indices were used already")
LAST_GOOD: Format[str | None] = Format(
    "last-good-order.yaml", _text_from, _text_contents, None, "the order in force, where the file is bad by then"
)
PREVIOUS: Format[str | None] = Format(
    "previous-order.yaml", _text_from, _text_contents, None, "the order before this one"
)
PENDING: Format[Pending | None] = Format(
    "pending.json", _pending_from, _pending_contents, None, "that an order was rolled back"
)
EVERY: tuple[Format[Any], ...] = (OWNED, RUNTIME, INDICES, LAST_GOOD, PREVIOUS, PENDING)
