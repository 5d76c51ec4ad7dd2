"""Which of FRR's lines are ours, cut into the same blocks as the intent; the operator's never appear. Pure.

Ours are: what bears our prefix, or names such a thing (`network P route-map dcedge-origin`); neighbours that say
`dcedge:…` in their description, are in the order, or are remembered; and the few lines that cannot show whose they
are (`router bgp …`, its router ID), where they are remembered as made by us.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from dcedge.bgp.config import FrrConfig, Line
from dcedge.bgp.grammar import meaning, slot_of
from dcedge.bgp.names import ORIGIN_MAP, OWN_PATHS, OWNER_MARK, PREFIX, policy_owner
from dcedge.bgp.resources import COMMON, COMMON_KEY, MAP, POLICY, PROFILE, ROUTER, SESSION, FrrBlock
from dcedge.errors import FrrError
from dcedge.resource import Key

_ROUTER = re.compile(r"router bgp (?P<asn>\S+)(?: vrf (?P<vrf>\S+))?")
_NEIGHBOR = re.compile(r"(?:no )?neighbor (?P<peer>\S+)(?: (?P<rest>.*))?")
_USES = re.compile(r"neighbor \S+ route-map (?P<map>\S+) (?:in|out)")
_FAMILIES = ("address-family ipv4 unicast", "address-family ipv6 unicast")
_RELAX = "bgp bestpath as-path multipath-relax"

Peer = tuple[str, str]  # the router's opening line, the neighbour's address


class FrrConflictError(FrrError):
    """The operator's own FRR configuration contradicts the order; dcedge changes neither."""


def observe_frr(
    running: FrrConfig, wanted: Mapping[Key, FrrBlock], owned: Collection[Line] = ()
) -> dict[Key, FrrBlock]:
    """What of the intent's kind FRR has now; `owned` is what `remember` said after the last change.

    Raises:
        FrrConflictError: The operator runs BGP with another ASN or router ID than the order's.
    """
    remembered = frozenset(owned)
    intended = {line for block in wanted.values() for line in block.lines}
    found: dict[Key, set[Line]] = {}
    for line in running.lines:
        if (key := _key_by_name(line)) is not None:
            found.setdefault(key, set()).add(line)
    peers = _own_peers(running, wanted, remembered)
    for line in _neighbor_lines(running, peers):
        place = (line.path[0], _peer_of(line))
        found.setdefault(peers[place], set()).add(line)
    mine = {line for lines in found.values() for line in lines}
    for key, line in _router_lines(running, intended, remembered, mine, wanted):
        found.setdefault(key, set()).add(line)
    if (bfd := Line((), "bfd")) in running.lines and (
        bfd in intended or (bfd in remembered and not _foreign_under(running, mine, "bfd"))
    ):
        found.setdefault(COMMON_KEY, set()).add(bfd)
    _join_leftovers(found, wanted)
    return {
        key: FrrBlock.of(key, wanted[key].affects if key in wanted else _affects(key), lines)
        for key, lines in found.items()
    }


def _join_leftovers(found: dict[Key, set[Line]], wanted: Mapping[Key, FrrBlock]) -> None:
    """Count a route-map that is no longer wanted to a session that still uses it: it goes after the session has left."""
    leftover = {key.name for key in found if key.kind == MAP and key not in wanted}
    for key in [key for key in found if key.kind == SESSION and key in wanted] if leftover else ():
        for line in tuple(found[key]):
            used = _USES.fullmatch(line.text)
            if used and used["map"] in leftover:
                leftover.remove(used["map"])
                found[key] |= found.pop(Key(MAP, used["map"]))


def remember(owned: Collection[Line], running: FrrConfig, wanted: Mapping[Key, FrrBlock]) -> frozenset[Line]:
    """What the state file must hold before the intent is carried out: lines of ours that do not show it themselves.

    `running` is what was read before the change; a line that was there already and not remembered is the operator's.
    No secret is among them.
    """
    silent = {
        line
        for block in wanted.values()
        if block.key.kind in {COMMON, ROUTER}
        for line in block.lines
        if _key_by_name(line) is None
    } | {
        line
        for block in wanted.values()
        if block.key.kind == SESSION
        for line in block.lines
        if " remote-as " in line.text
    }
    return (frozenset(owned) & running.lines) | (silent - running.lines)


def warnings(running: FrrConfig) -> tuple[str, ...]:
    """What the operator's configuration does that an order cannot mend, in words."""
    told = []
    texts = {line.text for line in running.lines}
    if any(text.startswith("log commands") for text in texts):
        told.append("FRR has `log commands`: every BGP password that is set goes into its log in clear")
    for line in sorted(running.lines):
        if line.text == "no bgp network import-check":
            told.append(
                f"{line.path[0]} has `no bgp network import-check`: prefixes are announced though no route exists"
            )
        if line.text == "bgp graceful-restart":
            told.append(f"{line.path[0]} has `bgp graceful-restart`: combined with BFD it keeps dead paths in use")
    return tuple(told)


def _affects(key: Key) -> tuple[str, ...]:
    return (key.name,) if key.kind == SESSION else ()


def _key_by_name(line: Line) -> Key | None:
    """The block that a line belongs to by a name of ours in it, or in what it stands in."""
    top = line.path[0] if line.path else line.text
    words = top.split(" ")
    if words[0] == "route-map" and len(words) > 1:
        return _named(words[1], MAP)
    if words[:2] in (["ip", "prefix-list"], ["ipv6", "prefix-list"]) and len(words) > 2:
        return _named(words[2], POLICY)
    if words[:3] == ["bgp", "as-path", "access-list"] and len(words) > 3:
        return _named(words[3], COMMON)
    if top == "bfd":
        inner = line.path[1] if len(line.path) > 1 else line.text
        if inner.startswith(f"profile {PREFIX}"):
            return Key(PROFILE, inner.removeprefix("profile "))
        return None
    opened = _ROUTER.fullmatch(top)
    if opened and line.text.startswith("network ") and line.text.endswith(f" route-map {ORIGIN_MAP}"):
        return Key(ROUTER, opened["vrf"] or "default")
    return None


def _named(name: str, kind: str) -> Key | None:
    if name in {ORIGIN_MAP, OWN_PATHS}:
        return COMMON_KEY
    if not name.startswith(PREFIX):
        return None
    return Key(kind, (policy_owner(name) if kind == POLICY else None) or name)


def _peer_of(line: Line) -> str:
    found = _NEIGHBOR.fullmatch(line.text)
    return found["peer"] if found else ""


def _own_peers(running: FrrConfig, wanted: Mapping[Key, FrrBlock], remembered: frozenset[Line]) -> dict[Peer, Key]:
    """The neighbours in FRR that are ours, and whose block each belongs to."""
    peers: dict[Peer, Key] = {}
    for line in remembered & running.lines:
        if " remote-as " in line.text:
            peers[line.path[0], _peer_of(line)] = Key(SESSION, _peer_of(line))
    for line in running.lines:
        if line.path and _ROUTER.fullmatch(line.path[0]):
            found = _NEIGHBOR.fullmatch(line.text)
            if found and (found["rest"] or "").startswith(f"description {OWNER_MARK}"):
                owner = found["rest"].removeprefix(f"description {OWNER_MARK}")
                peers[line.path[0], found["peer"]] = Key(SESSION, owner)
    for key, block in wanted.items():
        for line in block.lines:
            if key.kind == SESSION and " remote-as " in line.text:
                peers[line.path[0], _peer_of(line)] = key
    return peers


def _neighbor_lines(running: FrrConfig, peers: Mapping[Peer, Key]) -> Iterator[Line]:
    """Our neighbours' lines, with each family's activation said outright.

    FRR prints it only where it differs from the instance's default, and the default is the operator's to choose.
    """
    alive: set[Peer] = set()
    said: set[Line] = set()
    routers = {router for router, _ in peers}
    for line in running.lines:
        if not line.path or line.path[0] not in routers:
            continue
        place = (line.path[0], _peer_of(line))
        if place not in peers:
            continue
        if line.path[1:] in {(family,) for family in _FAMILIES} and slot_of(line)[1].endswith(" activate"):
            said.add(line)
        else:
            yield line
        if len(line.path) == 1:
            alive.add(place)
    for router, peer in alive:
        for family, default in zip(_FAMILIES, _defaults(running, router), strict=True):
            yes, no = (Line((router, family), f"{word}neighbor {peer} activate") for word in ("", "no "))
            yield yes if yes in said or (default and no not in said) else no


def _defaults(running: FrrConfig, router: str) -> tuple[bool, bool]:
    return (
        Line((router,), "no bgp default ipv4-unicast") not in running.lines,
        Line((router,), "bgp default ipv6-unicast") in running.lines,
    )


def _router_lines(
    running: FrrConfig,
    intended: Collection[Line],
    remembered: frozenset[Line],
    mine: set[Line],
    wanted: Mapping[Key, FrrBlock],
) -> Iterator[tuple[Key, Line]]:
    """The instances' own lines: what is ours of `router bgp`, its settings and its networks."""
    for opener in sorted(line for line in running.lines if not line.path and _ROUTER.fullmatch(line.text)):
        opened = _ROUTER.fullmatch(opener.text)
        assert opened is not None
        key = Key(ROUTER, opened["vrf"] or "default")
        settings = [line for line in running.under(opener.text) if line not in mine]
        ours = [line for line in settings if line in remembered and _is_setting(line)]
        block = wanted.get(key)
        foreign = _foreign_under(running, mine | set(ours), opener.text)
        if block is not None and opener not in intended and (opener not in remembered or foreign):
            meant = next(line.text for line in block.lines if not line.path)
            raise FrrConflictError(f"FRR has `{opener.text}` by the operator's hand, the order needs `{meant}`")
        if opener in intended or (opener in remembered and not foreign):
            yield key, opener
        yield from ((key, line) for line in ours)
        if block is not None:
            yield from ((key, line) for line in _shared(opener, settings, block, remembered))


def _shared(opener: Line, settings: Iterable[Line], block: FrrBlock, remembered: frozenset[Line]) -> Iterator[Line]:
    """The wanted lines that the operator's stand for: the same setting, or a prefix that is announced already."""
    slots = {slot_of(line): line for line in block.lines}
    for line in settings:
        meant = slots.get(slot_of(line))
        if meant is None:
            continue
        if meant == line or line.text.startswith("network "):
            yield meant
        elif line not in remembered:
            raise FrrConflictError(
                f"FRR has `{line.text}` in `{opener.text}` by the operator's hand, the order needs `{meant.text}`"
            )


def _is_setting(line: Line) -> bool:
    return line.text == _RELAX or line.text.startswith("bgp router-id ")


def _foreign_under(running: FrrConfig, mine: Collection[Line], *path: str) -> bool:
    """Whether anything under that context is not ours; a family's opener or what our neighbours imply is nobody's."""
    peers = {(line.path[0], _peer_of(line)) for line in mine if line.path and " remote-as " in line.text}
    return any(
        line not in mine
        and line.text not in _FAMILIES
        and not (meaning(line.text).peer and (line.path[0], _peer_of(line)) in peers)
        for line in running.under(*path)
    )
