"""FRR's way with configuration lines in miniature: enough to see that a delta arrives, and in an order FRR can take.

Written from what FRR does, not from the grammar under test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dcedge.errors import FrrUnavailableError
from dcedge.frr.config import ConfigLine, FrrConfig
from dcedge.frr.vty import DAEMONS

OPENERS = ("router bgp ", "route-map ", "address-family ")
# One value for each of these in a context; setting it again replaces it.
SINGLE = (
    "bgp router-id",
    "match as-path",
    "match ip address prefix-list",
    "match ipv6 address prefix-list",
    "set as-path prepend",
    "set community",
    "set local-preference",
    "set metric",
    "detect-multiplier",
    "transmit-interval",
    "receive-interval",
)
SINGLE_OF_NEIGHBOR = (
    "remote-as",
    "description",
    "password",
    "local-as",
    "ebgp-multihop",
    "ttl-security",
    "timers connect",
    "timers",
    "bfd profile",
    "maximum-prefix-out",
    "maximum-prefix",
    "allowas-in",
)
PROFILE_DEFAULTS = {"detect-multiplier 3", "transmit-interval 300", "receive-interval 300"}


class FakeFrr:
    """Holds lines; `load` takes configuration text as vtysh does and fails on what FRR would refuse."""

    def __init__(self, lines: Iterable[ConfigLine] = ()) -> None:
        self.lines = set(lines)

    def load(self, text: str) -> None:
        path: tuple[str, ...] = ()
        for raw in text.splitlines():
            indent = len(raw) - len(raw.lstrip(" "))
            body = raw.strip()
            if body in {"exit", "exit-address-family"}:
                path = path[:-1]
                continue
            path = path[:indent]
            self._line(path, body)
            if body.startswith((*OPENERS, "profile ")) or body == "bfd":
                path = (*path, body)

    def _line(self, path: tuple[str, ...], body: str) -> None:
        if body.startswith("no neighbor ") and body.endswith(" activate"):
            yes = body.removeprefix("no ")
            self.lines.discard(ConfigLine(path, yes))
            self.lines.add(ConfigLine(path, body))
        elif body.startswith("no "):
            self._undo(path, body.removeprefix("no "))
        elif body.startswith("neighbor "):
            self._neighbor(path, body)
        elif not body.startswith("address-family "):
            if len(path) == 1 and path[0].startswith("router bgp "):
                assert ConfigLine((), path[0]) in self.lines, f"{body}: no {path[0]}"
            for word in (*SINGLE, *([body.rsplit(" ", 2)[0]] if body.startswith("network ") else [])):
                self._replace(path, word, body)
            if " seq " in body:
                name, _, entry = body.partition(" seq ")
                self._replace(path, f"{name} seq {entry.partition(' ')[0]}", body)
            if body not in PROFILE_DEFAULTS:
                self.lines.add(ConfigLine(path, body))
        if body.startswith("network ") and " route-map " in body:
            self._needs_map(body.rsplit(" ", 1)[1])

    def _replace(self, path: tuple[str, ...], word: str, body: str) -> None:
        if body.startswith(word + " "):
            self.lines = {line for line in self.lines if line.path != path or not line.text.startswith(word + " ")}

    def _neighbor(self, path: tuple[str, ...], body: str) -> None:
        _, peer, rest = body.split(" ", 2)
        known = any(
            line.path == path[:1] and line.text.startswith(f"neighbor {peer} remote-as ") for line in self.lines
        )
        assert known or rest.startswith("remote-as "), f"{body}: specify remote-as first"
        for one, other in (("ttl-security", "ebgp-multihop"), ("ebgp-multihop", "ttl-security")):
            if rest.startswith(one):
                clash = f"neighbor {peer} {other} "
                assert not any(line.path == path and line.text.startswith(clash) for line in self.lines), body
        if rest.startswith(("route-map ", "prefix-list ")):
            what, name, way = rest.split(" ")
            if what == "route-map":
                self._needs_map(name)
            self.lines = {
                line
                for line in self.lines
                if line.path != path
                or not (line.text.startswith(f"neighbor {peer} {what} ") and line.text.endswith(f" {way}"))
            }
        if rest.startswith("graceful-restart"):  # one of the two, or neither
            both = {f"neighbor {peer} graceful-restart", f"neighbor {peer} graceful-restart-disable"}
            self.lines = {line for line in self.lines if line.path != path or line.text not in both}
        if rest == "activate":
            self.lines.discard(ConfigLine(path, f"no {body}"))
        for word in SINGLE_OF_NEIGHBOR:
            if rest == word or rest.startswith(word + " "):
                self.lines = {
                    line
                    for line in self.lines
                    if line.path != path
                    or not (line.text == f"neighbor {peer} {word}" or line.text.startswith(f"neighbor {peer} {word} "))
                    or (word == "timers" and " timers connect " in line.text)
                }
                break
        self.lines.add(ConfigLine(path, body))

    def _needs_map(self, name: str) -> None:
        assert any(line.text.startswith(f"route-map {name} ") for line in self.lines), f"no route-map {name}"

    def _undo(self, path: tuple[str, ...], what: str) -> None:
        words = what.split(" ")
        gone = {
            line
            for line in self.lines
            if (line.path == path and (line.text == what or line.text.startswith(what + " ")))
            or line.path[: len(path) + 1] == (*path, what)
        }
        if what.startswith("router bgp "):
            gone = {line for line in self.lines if line == ConfigLine((), what) or line.path[:1] == (what,)}
        elif words[0] == "neighbor" and len(words) == 2:
            gone = {
                line
                for line in self.lines
                if line.path[:1] == path and (line.text.startswith(what + " ") or line.text.startswith(f"no {what} "))
            }
        elif words[0] == "neighbor" and words[2:] == ["timers"]:
            gone = {line for line in gone if " timers connect " not in line.text}
        if what.startswith("route-map "):
            name = words[1]
            users = {line for line in self.lines - gone if f"route-map {name} " in f"{line.text} " and line.path}
            assert not users, f"route-map {name} goes while in use by {users}"
        assert gone, f"no {what}: there is none"
        self.lines -= gone


@dataclass
class FakeFrrClient:
    """An FRR in miniature, as its client (`FrrClient`) shows it."""

    frr: FakeFrr = field(default_factory=FakeFrr)
    zebra: FakeFrr = field(default_factory=FakeFrr)  # what vtysh gave it of FRR's file
    saved: int = 0
    seconds: float | None = 3600.0
    absent: bool = False
    bgpd: int = 100  # its process
    needed: tuple[str, ...] = DAEMONS
    bfdd_absence: str = ""
    others_vrfs: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()

    def processes(self) -> dict[str, int]:
        return {"bgpd": self.bgpd}

    def running_config(self) -> FrrConfig:
        if self.absent:
            raise FrrUnavailableError("bgpd is not running")
        lines = FrrConfig.of(self.frr.lines)
        if self.bfdd_absence:
            return FrrConfig(lines.entries - lines.context("bfd").entries)
        return lines

    def vrfs(self) -> frozenset[str]:
        return self.others_vrfs

    def apply(self, text: str) -> None:
        self.frr.load(text)

    def copies(self) -> dict[str, FrrConfig]:
        return {"zebra": FrrConfig.of(self.zebra.lines)}

    def feed_one(self, daemon: str, text: str) -> None:
        assert daemon == "zebra"
        self.zebra.load(text)

    def age(self) -> float | None:
        return self.seconds

    def write_config(self) -> None:
        self.saved += 1
