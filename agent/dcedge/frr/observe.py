"""Which of FRR's lines are ours, cut into the same blocks as the intent; the operator's never appear. Pure.

Ours are: what bears our prefix, or names such a thing (`network P route-map dcedge-origin`); neighbours that say
`dcedge:…` in their description, are in the order, or are remembered; and the few lines that cannot show whose they
are (`router bgp …`, its router ID), where they are remembered as made by us.

Lines stay packed here, so that looking at thousands of sessions in which nothing differs makes no objects of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from dcedge.errors import FrrError
from dcedge.frr.config import ConfigLine, FrrConfig, unpack
from dcedge.frr.grammar import slot_of
from dcedge.frr.object_names import ORIGIN_MAP, OWN_PATHS, OWNER_MARK, PREFIX, policy_owner
from dcedge.frr.resources import COMMON, COMMON_KEY, MAP, POLICY, PROFILE, ROUTER, SESSION, FrrBlock
from dcedge.plan.resource import Key

_ROUTER = re.compile(r"router bgp (?P<asn>\S+)(?: vrf (?P<vrf>\S+))?")
_USES = re.compile(r"\tneighbor \S+ route-map (?P<map>\S+) (?:in|out)$")
_BFD_PEER = re.compile(r"bfd\tpeer (?P<peer>[^ \t]+)(?:[^\t]* vrf (?P<vrf>[^ \t]+))?[^\t]*")
_FAMILIES = ("address-family ipv4 unicast", "address-family ipv6 unicast")
_SWITCHES = frozenset({"bgp bestpath as-path multipath-relax", "bgp graceful-restart preserve-fw-state"})
_OWNER = f" description {OWNER_MARK}"

Peer = tuple[str, str]  # the router's opening line, the neighbour's address
Place = tuple[str, str]  # the VRF, the neighbour's address or link
DEFAULT_VRF = "default"  # the main table


@dataclass(frozen=True, slots=True)
class OthersLines:
    """What others have configured: the VRFs with BGP, BGP peers, and those of them with BFD.

    `bfd_sessions` are those that are in bfdd's own configuration, by its line.
    """

    vrfs: frozenset[str] = frozenset()
    peers: frozenset[Place] = frozenset()
    fast: frozenset[Place] = frozenset()
    bfd_sessions: Mapping[str, Place] = field(default_factory=dict)


NO_LINES = OthersLines()


class FrrConflictError(FrrError):
    """The operator's own FRR configuration contradicts the order; dcedge changes neither."""


@dataclass(slots=True)
class _Sorted:
    """The running configuration's packed lines, by what they belong to."""

    named: dict[Key, set[str]] = field(default_factory=dict)  # they bear a name of ours
    peers: dict[Peer, list[str]] = field(default_factory=dict)
    settings: dict[str, list[str]] = field(default_factory=dict)  # a router's other lines, by what opens it
    foreign_bfd: bool = False

    @classmethod
    def of(cls, running: FrrConfig) -> _Sorted:
        made = cls()
        for entry in running.entries:
            top, inner, rest = entry.partition("\t")
            if not top.startswith("router bgp "):
                if (key := _key_by_name(top, rest)) is not None:
                    made.named.setdefault(key, set()).add(entry)
                elif top == "bfd" and inner:
                    made.foreign_bfd = True
                continue
            settings = made.settings.setdefault(top, [])
            if not inner:
                continue
            text = rest.rpartition("\t")[2]
            if text.startswith(("neighbor ", "no neighbor ")):
                peer = text.removeprefix("no ").split(" ", 2)[1]
                made.peers.setdefault((top, peer), []).append(entry)
            elif text.startswith("network ") and text.endswith(f" route-map {ORIGIN_MAP}"):
                made.named.setdefault(_router_key(top), set()).add(entry)
            else:
                settings.append(entry)
        return made


def observe_frr(
    running: FrrConfig, intended: Mapping[Key, FrrBlock], owned: Collection[ConfigLine] = ()
) -> dict[Key, FrrBlock]:
    """What of the intent's kind FRR has now; `owned` is what `remember` said after the last change.

    Raises:
        FrrConflictError: The operator runs BGP with another ASN or router ID than the order's.
    """
    remembered = frozenset(line.packed() for line in owned)
    seen = _sorted(running)
    found = {key: set(entries) for key, entries in seen.named.items()}
    foreign = set()
    peers = _intended_peers(intended)
    for (router, peer), entries in seen.peers.items():
        key = _owner(router, peer, entries, peers, remembered)
        if key is None:
            foreign.add(router)
        else:
            found.setdefault(key, set()).update(_told(running, router, peer, entries))
    for key, entry in _router_entries(seen, foreign, intended, remembered):
        found.setdefault(key, set()).add(entry)
    common = intended.get(COMMON_KEY)
    if "bfd" in running.entries and (
        (common is not None and "bfd" in common.entries) or ("bfd" in remembered and not seen.foreign_bfd)
    ):
        found.setdefault(COMMON_KEY, set()).add("bfd")
    _join_leftovers(found, intended)
    return {
        key: FrrBlock.of_entries(key, intended[key].affects if key in intended else _affects(key), entries)
        for key, entries in found.items()
    }


def owned_alike(intended: Mapping[Key, FrrBlock], before: Mapping[Key, FrrBlock]) -> bool:
    """Whether each of FRR's lines belongs to the same block by either intent: what is observed is the same then."""
    if intended.keys() != before.keys():
        return False
    changed = [key for key, block in intended.items() if block is not before[key]]
    if any(key.type in {COMMON, ROUTER} or intended[key].affects != before[key].affects for key in changed):
        return False
    now, then = ({key: blocks[key] for key in changed} for blocks in (intended, before))
    return _intended_peers(now) == _intended_peers(then)


@lru_cache(maxsize=1)
def _sorted(running: FrrConfig) -> _Sorted:
    """What was sorted last: a pass looks again at what the one before has read back. Not to be changed."""
    return _Sorted.of(running)


def remember(
    owned: Collection[ConfigLine], running: FrrConfig, intended: Mapping[Key, FrrBlock]
) -> frozenset[ConfigLine]:
    """What the state file must hold before the intent is carried out: lines of ours that do not show it themselves.

    `running` is what was read before the change; a line that was there already and not remembered is the operator's.
    No secret is among them.
    """
    silent = {
        entry
        for key, block in intended.items()
        if key.type in {COMMON, ROUTER, SESSION}
        for entry in block.entries
        if (" remote-as " in entry if key.type == SESSION else _is_silent(entry))
    }
    return still_there(owned, running) | frozenset(unpack(entry) for entry in silent - running.entries)


def left_over(copy: FrrConfig, running: FrrConfig) -> list[ConfigLine]:
    """What another daemon has of our prefix-lists and route-maps that bgpd, which runs with `running`, no longer has.

    Every daemon is given what FRR's file has, and `show running-config` and the next file are the sum of them all.
    """
    names = ("ip prefix-list ", "ipv6 prefix-list ", "route-map ")
    return [
        unpack(entry)
        for entry in copy.entries - running.entries
        if entry.startswith(names) and _key_by_name(*entry.partition("\t")[::2]) is not None
    ]


def still_there(owned: Collection[ConfigLine], running: FrrConfig) -> frozenset[ConfigLine]:
    """The remembered lines that FRR has."""
    return frozenset(line for line in owned if line in running)


@lru_cache(maxsize=1)
def others_lines(running: FrrConfig) -> OthersLines:
    """What others have configured in bgpd and bfdd."""
    seen = _sorted(running)
    peers: set[Place] = set()
    fast: set[Place] = set()
    for (router, peer), entries in seen.peers.items():
        texts = [entry.rpartition("\t")[2] for entry in entries]
        if f"neighbor {peer} peer-group" in texts or any(_OWNER in text for text in texts):
            continue
        place = _instance(router), peer
        peers.add(place)
        groups = [text.partition(" peer-group ")[2] for text in texts if " peer-group " in text]
        if _has_bfd(peer, texts) or any(_has_bfd(group, seen.peers.get((router, group), ())) for group in groups):
            fast.add(place)
    by_hand = {
        entry: (match["vrf"] or DEFAULT_VRF, match["peer"])
        for entry in running.entries
        if (match := _BFD_PEER.fullmatch(entry))
    }
    vrfs = frozenset(map(_instance, seen.settings)) - {DEFAULT_VRF}
    return OthersLines(vrfs, frozenset(peers), frozenset(fast), by_hand)


def _instance(router: str) -> str:
    """The VRF of a BGP instance by its opening line; a view has a name of its own."""
    return router.split(" ", 3)[3].removeprefix("vrf ") if router.count(" ") > 2 else DEFAULT_VRF


def _has_bfd(peer: str, entries: Iterable[str]) -> bool:
    """Whether any of a peer's lines, packed or not, gives it BFD."""
    words = f"neighbor {peer} bfd"
    return any(text == words or text.startswith(f"{words} ") for text in (e.rpartition("\t")[2] for e in entries))


def warnings(running: FrrConfig) -> tuple[str, ...]:
    """What the operator's configuration does that an order cannot mend, in words."""
    told = []
    if any(entry.startswith("log commands") for entry in running.entries):
        told.append("FRR has `log commands`: every BGP password that is set is logged in clear text")
    wrong = {
        "no bgp network import-check": "prefixes are announced though no route exists",
        "bgp graceful-restart": "combined with BFD it keeps dead paths in use",
    }
    for entry in sorted(entry for entry in running.entries if entry.endswith(tuple(wrong))):
        line = unpack(entry)
        if line.text in wrong and line.path:
            told.append(f"{line.path[0]} has `{line.text}`: {wrong[line.text]}")
    return tuple(told)


def _affects(key: Key) -> tuple[str, ...]:
    return (key.name,) if key.type == SESSION else ()


def _router_key(opener: str) -> Key:
    opened = _ROUTER.fullmatch(opener)
    return Key(ROUTER, (opened["vrf"] if opened else None) or "default")


def _key_by_name(top: str, rest: str) -> Key | None:
    """The block that a line outside of BGP belongs to by a name of ours in it, or in what it stands in."""
    if PREFIX not in top and top != "bfd":
        return None
    words = top.split(" ")
    if words[0] == "route-map" and len(words) > 1:
        return _named(words[1], MAP)
    if words[:2] in (["ip", "prefix-list"], ["ipv6", "prefix-list"]) and len(words) > 2:
        return _named(words[2], POLICY)
    if words[:3] == ["bgp", "as-path", "access-list"] and len(words) > 3:
        return _named(words[3], COMMON)
    if top == "bfd" and rest.startswith(f"profile {PREFIX}"):
        return Key(PROFILE, rest.partition("\t")[0].removeprefix("profile "))
    return None


@lru_cache(maxsize=16384)
def _named(name: str, resource_type: str) -> Key | None:
    if name in {ORIGIN_MAP, OWN_PATHS}:
        return COMMON_KEY
    if not name.startswith(PREFIX):
        return None
    return Key(resource_type, (policy_owner(name) if resource_type == POLICY else None) or name)


def _is_silent(entry: str) -> bool:
    """Whether a line of ours, of those that all sessions share, does not show whose it is."""
    top, _, rest = entry.partition("\t")
    if top.startswith("router bgp "):
        return not entry.endswith(f" route-map {ORIGIN_MAP}")
    return _key_by_name(top, rest) is None


def _intended_peers(intended: Mapping[Key, FrrBlock]) -> dict[Peer, Key]:
    peers = {}
    for key, block in intended.items():
        if key.type == SESSION:
            for entry in block.entries:
                if " remote-as " in entry:
                    router, _, text = entry.partition("\t")
                    peers[router, text.split(" ", 2)[1]] = key
    return peers


def _owner(
    router: str, peer: str, entries: Iterable[str], peers: Mapping[Peer, Key], remembered: frozenset[str]
) -> Key | None:
    """Whose block a neighbour belongs to; None where it is the operator's."""
    if (key := peers.get((router, peer))) is not None:
        return key
    key = None
    for entry in entries:
        text = entry.rpartition("\t")[2]
        if text.startswith(f"neighbor {peer}{_OWNER}"):
            return Key(SESSION, text.partition(_OWNER)[2])
        if entry in remembered and " remote-as " in text:
            key = Key(SESSION, peer)
    return key


def _told(running: FrrConfig, router: str, peer: str, entries: Collection[str]) -> set[str]:
    """A neighbour's lines, with each family's activation said outright.

    FRR prints it only where it differs from the instance's default, and the default is the operator's to choose.
    """
    told = set(entries)
    active = (
        f"{router}\tno bgp default ipv4-unicast" not in running.entries,
        f"{router}\tbgp default ipv6-unicast" in running.entries,
    )
    alive = any(entry.startswith(f"{router}\tneighbor ") for entry in entries)
    for family, by_default in zip(_FAMILIES, active, strict=True):
        yes, no = (f"{router}\t{family}\t{word}neighbor {peer} activate" for word in ("", "no "))
        said = yes in told or (by_default and no not in told)
        told -= {yes, no}
        if alive:
            told.add(yes if said else no)
    return told


def _join_leftovers(found: dict[Key, set[str]], intended: Mapping[Key, FrrBlock]) -> None:
    """Count a route-map that is no longer wanted to a session that still uses it: it goes after that has left it."""
    leftover = {key.name for key in found if key.type == MAP and key not in intended}
    for key in [key for key in found if key.type == SESSION and key in intended] if leftover else ():
        for entry in tuple(found[key]):
            used = _USES.search(entry)
            if used and used["map"] in leftover:
                leftover.remove(used["map"])
                found[key] |= found.pop(Key(MAP, used["map"]))


def _router_entries(
    seen: _Sorted, foreign_peers: Collection[str], intended: Mapping[Key, FrrBlock], remembered: frozenset[str]
) -> Iterator[tuple[Key, str]]:
    """The instances' own lines: what is ours of `router bgp`, its settings and its networks."""
    for opener in sorted(seen.settings):
        if not _ROUTER.fullmatch(opener):
            continue
        key = _router_key(opener)
        settings = sorted(map(unpack, seen.settings[opener]))
        ours = [line for line in settings if line.packed() in remembered and _is_setting(line)]
        foreign = opener in foreign_peers or any(line not in ours and line.text not in _FAMILIES for line in settings)
        block = intended.get(key)
        meant = next(entry for entry in block.entries if "\t" not in entry) if block is not None else None
        if meant is not None and opener != meant and (opener not in remembered or foreign):
            raise FrrConflictError(f"FRR has `{opener}` which dcedge did not configure; the order needs `{meant}`")
        if opener == meant or (opener in remembered and not foreign):
            yield key, opener
        yield from ((key, line.packed()) for line in ours)
        if block is not None:
            yield from ((key, line.packed()) for line in _shared(opener, settings, block, remembered))


def _shared(
    opener: str, settings: Iterable[ConfigLine], block: FrrBlock, remembered: frozenset[str]
) -> Iterator[ConfigLine]:
    """The wanted lines that the operator's stand for: the same setting, or a prefix that is announced already."""
    slots = {slot_of(line): line for line in block.lines}
    for line in settings:
        meant = slots.get(slot_of(line))
        if meant is None:
            continue
        if meant == line or line.text.startswith("network "):
            yield meant
        elif line.packed() not in remembered:
            raise FrrConflictError(
                f"FRR has `{line.text}` in `{opener}`, which dcedge did not configure; the order needs `{meant.text}`"
            )


def _is_setting(line: ConfigLine) -> bool:
    return line.text in _SWITCHES or line.text.startswith("bgp router-id ")
