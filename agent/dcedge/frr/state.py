"""The sessions' state, from the JSON that bgpd prints of them. What a peer sent is escaped here.

bgpd's summary has what changes by the second in a tenth of the bytes that its full account of the neighbours takes, and
of the time. What the summary lacks (why a session was lost) is taken from the full account once a loss.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType

from dcedge.errors import FrrError
from dcedge.frr.object_names import OWNER_MARK
from dcedge.order.field_types import Address, Family

FAMILY_NAMES: Mapping[str, Family] = {"ipv4Unicast": "ipv4", "ipv6Unicast": "ipv6"}
_TEXT_MAX = 200
_BFD_SETTLED = 5  # seconds
_START_TIMER = "nextStartTimerDueInMsecs"
# How bgpd writes each byte of a peer's text that is no printable ASCII (its lib/zlog.c, zlog_sanitize).
_ESCAPED_BYTES = re.compile(r"(?:\\x[0-9a-f]{2})+")
# In bgpd's words: a reset by a NOTIFICATION, sent or received; one of which it knows no more than that it was; and what
# is none at all, but what a session waits for. (Up again, 8.4 says the latter of it, and 10.3 nothing.)
_NOTIFICATION = "Notification"
_SAYS_LITTLE = (
    *("Peer closed", "Socket Error", "No path to", "Waiting for NHT"),
    *("Connection Collision", "Neighbor Events Error"),  # what comes of two connections at once
)
_NO_RESET = ("No AFI/SAFI activated", "Router ID is missing", "Waiting for peer", "Waiting for Peer", "Waiting for VRF")
ALL_NEIGHBORS, SUMMARY = "show bgp vrf all neighbors json", "show bgp vrf all summary json"

Place = tuple[str, Address]  # VRF, peer


@dataclass(frozen=True, slots=True)
class FamilyPrefixes:
    """Prefix counts of one session in one family.

    `received` is None while it is not known: bgpd counts what its inbound policy refuses only when asked.
    """

    family: Family
    received: int | None
    accepted: int
    advertised: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """One BGP session as bgpd sees it. Times in seconds, whole ones, as bgpd gives them."""

    peer: Address
    vrf: str  # `default`: the main table
    virtual_interface: str | None  # None: not one of ours
    state: str  # RFC 4271's: Idle, Connect, Active, OpenSent, OpenConfirm, Established
    admin_down: bool
    uptime: float | None  # None: not established
    prefixes: tuple[FamilyPrefixes, ...]
    last_reset: str | None
    transitions: int  # how often it was lost
    earlier_reset: str | None = None  # why it was lost an earlier time, as far as that is known
    bfd: str | None = None  # `up`, `down`, …; None: no BFD
    held: bool = False  # bgpd does not try to set it up, nor will it by itself
    bfd_detection_ms: int | None = None  # the silence after which BFD calls the path dead; None: not known (yet)

    @property
    def up(self) -> bool:
        """Established."""
        return self.state == "Established"

    @property
    def place(self) -> Place:
        """Where bgpd lists it."""
        return self.vrf, self.peer


@dataclass(frozen=True, slots=True)
class BfdPeer:
    """One BFD session as bfdd sees it. Intervals in milliseconds, as each end has said them."""

    peer: Address
    vrf: str
    interface: str | None
    status: str
    diagnostic: str
    receive_interval: int
    transmit_interval: int
    detect_multiplier: int
    remote_receive_interval: int
    remote_transmit_interval: int
    remote_detect_multiplier: int
    uptime: int = 0  # seconds

    @property
    def detection_ms(self) -> int | None:
        """The silence after which this end calls the path dead (RFC 5880, 6.8.4); None: not settled yet.

        A session that has just come up still sends once a second (6.8.3), whatever its timers.
        """
        if self.status != "up" or self.uptime < _BFD_SETTLED:
            return None
        return self.remote_detect_multiplier * max(self.receive_interval, self.remote_transmit_interval)


def more_telling(new: str | None, known: str | None) -> str | None:
    """Of two reasons for one and the same loss, the one that says why; the newer one of two that say as much.

    What bgpd gives changes with the attempts after a loss: a cloud that has said why merely hangs up on those.
    """
    return new if known is None or _tells(new) >= _tells(known) else known


def _tells(reason: str | None) -> int:
    if reason is None:
        return 0
    said = reason.split(": ", 2)[:2]  # what follows is the peer's own text
    if any(words in part for words in _SAYS_LITTLE for part in said):
        return 1
    return 3 if _NOTIFICATION in said[0] else 2


def readable(text: str) -> str:
    """A peer's text with bgpd's escapes undone, where they are UTF-8. `escape` it: it is as the peer made it."""
    return _ESCAPED_BYTES.sub(
        lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("utf-8", "backslashreplace"), text
    )


def escape(text: str) -> str:
    """Text that a peer may have supplied, made harmless to a terminal and a log: one line, printable, bounded."""
    if text.isprintable():
        safe = text
    else:
        safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= _TEXT_MAX else safe[: _TEXT_MAX - 1] + "…"


def parse_summary(text: str) -> tuple[SessionState, ...]:
    """Read `show bgp vrf all summary json`: the sessions without what only the full account has.

    Raises:
        FrrError: It is not that.
    """
    return summary_states(parse_object(text, SUMMARY))


def summary_states(
    summary: Mapping[str, object], announced: Mapping[tuple[Place, Family], int | None] = MappingProxyType({})
) -> tuple[SessionState, ...]:
    """The sessions of bgpd's summary, with what is known of their peers' announcements."""
    found: dict[Place, SessionState] = {}
    for vrf, families in summary.items():
        for name, table in families.items() if isinstance(families, dict) else ():
            peers = table.get("peers") if isinstance(table, dict) and name in FAMILY_NAMES else None
            for peer, facts in _peers(peers, "state") if isinstance(peers, dict) else ():
                state = _summary(peer, vrf, FAMILY_NAMES[name], facts, announced)
                if (other := found.get(state.place)) is not None:
                    state = replace(other, prefixes=(*other.prefixes, *state.prefixes))
                found[state.place] = state
    return tuple(found.values())


def _summary(
    peer: Address,
    vrf: str,
    family: Family,
    facts: Mapping[str, object],
    announced: Mapping[tuple[Place, Family], int | None],
) -> SessionState:
    state = (_text(facts, "state") or "Idle").split(" ")[0]
    return SessionState(
        peer=peer,
        vrf=vrf,
        virtual_interface=_owner(_text(facts, "desc")),
        state=state,
        admin_down=facts.get("peerState") == "Admin",
        uptime=_number(facts, "peerUptimeMsec") / 1000 if state == "Established" else None,
        prefixes=(
            FamilyPrefixes(
                family, announced.get(((vrf, peer), family)), _number(facts, "pfxRcd"), _number(facts, "pfxSnt")
            ),
        ),
        last_reset=None,
        transitions=_number(facts, "connectionsDropped"),
    )


def _owner(description: str | None) -> str | None:
    if description is None or not description.startswith(OWNER_MARK):
        return None
    return description.removeprefix(OWNER_MARK)


def parse_neighbor(text: str, vrf: str) -> tuple[SessionState, ...]:
    """Read `show bgp vrf VRF neighbors PEER json`; nothing where the neighbour has gone meanwhile.

    Raises:
        FrrError: It is not that.
    """
    table = parse_object(text, "show bgp neighbors json")
    return tuple(_session(peer, vrf, facts) for peer, facts in _peers(table, "bgpState"))


def parse_sessions(text: str) -> tuple[SessionState, ...]:
    """Read `show bgp vrf all neighbors json`.

    Raises:
        FrrError: It is not that.
    """
    tables = parse_object(text, ALL_NEIGHBORS)
    return tuple(
        _session(peer, vrf, facts)
        for vrf, table in tables.items()
        if isinstance(table, dict)
        for peer, facts in _peers(table, "bgpState")
    )


def parse_bfd(text: str) -> tuple[BfdPeer, ...]:
    """Read `show bfd peers json`.

    Raises:
        FrrError: It is not that.
    """
    try:
        peers = json.loads(text)
    except ValueError as error:
        raise FrrError("bfdd's answer to `show bfd peers json` is not JSON") from error
    if not isinstance(peers, list):
        raise FrrError("bfdd's answer to `show bfd peers json` is not a list")
    return tuple(peer for facts in peers if isinstance(facts, dict) and (peer := _bfd(facts)) is not None)


def parse_vrfs(text: str) -> frozenset[str]:
    """The VRFs that are in the kernel, of zebra's `show vrf`; of others it only knows that they are configured."""
    lines = (line.split() for line in text.splitlines())
    return frozenset(words[1] for words in lines if words[:1] == ["vrf"] and words[2:3] == ["id"])


def parse_object(text: str, command: str) -> dict[str, object]:
    """bgpd's answer to a command.

    Raises:
        FrrError: It is no JSON object.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise FrrError(f"bgpd's answer to `{command}` is not JSON") from error
    if not isinstance(found, dict):
        raise FrrError(f"bgpd's answer to `{command}` is not an object")
    return found


# The same peers every second: to parse one takes longer than all the rest of it.
_address = lru_cache(maxsize=16384)(ip_address)


def _peers(table: Mapping[str, object], mark: str) -> Iterator[tuple[Address, Mapping[str, object]]]:
    for name, facts in table.items():
        if isinstance(facts, dict) and mark in facts:
            try:
                yield _address(name), facts
            except ValueError:  # an unnumbered neighbour of the operator's
                continue


def _session(peer: Address, vrf: str, facts: Mapping[str, object]) -> SessionState:
    state = _text(facts, "bgpState") or "Idle"
    up = state == "Established"
    bfd = facts.get("peerBfdInfo")
    families = facts.get("addressFamilyInfo")
    return SessionState(
        peer=peer,
        vrf=vrf,
        virtual_interface=_owner(_text(facts, "nbrDesc")),
        state=state,
        admin_down=facts.get("adminShutDown") is True,
        uptime=_number(facts, "bgpTimerUpMsec") / 1000 if up else None,
        prefixes=tuple(
            _prefixes(FAMILY_NAMES[name], counts)
            for name, counts in (families.items() if isinstance(families, dict) else ())
            if name in FAMILY_NAMES and isinstance(counts, dict)
        ),
        last_reset=_reset(facts),
        transitions=_number(facts, "connectionsDropped"),
        bfd=(_text(bfd, "status") or "unknown").lower() if isinstance(bfd, dict) else None,
        # Idle until a timer starts it, which does not run where bgpd has a reason not to (RFC 4271, 8.2.2).
        held=state == "Idle" and facts.get("adminShutDown") is not True and _START_TIMER not in facts,
    )


def _reset(facts: Mapping[str, object]) -> str | None:
    """Why the session was lost, with what the NOTIFICATION said where there was one."""
    cause = _text(facts, "lastResetDueTo")
    if not cause or cause.startswith(_NO_RESET):
        return None
    # The last is what the cloud's operator had to say (RFC 9003).
    said = (cause, _text(facts, "lastNotificationReason"), _text(facts, "lastShutdownDescription"))
    return ": ".join(filter(None, said))


def _prefixes(family: Family, counts: Mapping[str, object]) -> FamilyPrefixes:
    return FamilyPrefixes(
        family=family,
        received=None,
        accepted=_number(counts, "acceptedPrefixCounter"),
        advertised=_number(counts, "sentPrefixCounter"),
    )


def _bfd(facts: Mapping[str, object]) -> BfdPeer | None:
    try:
        address = ip_address(str(facts.get("peer")))
    except ValueError:
        return None
    return BfdPeer(
        peer=address,
        vrf=_text(facts, "vrf") or "default",
        interface=_text(facts, "interface"),
        status=_text(facts, "status") or "unknown",
        diagnostic=_text(facts, "diagnostic") or "",
        receive_interval=_number(facts, "receive-interval"),
        transmit_interval=_number(facts, "transmit-interval"),
        detect_multiplier=_number(facts, "detect-multiplier"),
        remote_receive_interval=_number(facts, "remote-receive-interval"),
        remote_transmit_interval=_number(facts, "remote-transmit-interval"),
        remote_detect_multiplier=_number(facts, "remote-detect-multiplier"),
        uptime=_number(facts, "uptime"),
    )


def _text(facts: Mapping[str, object], name: str) -> str | None:
    value = facts.get(name)
    return escape(readable(value)) if isinstance(value, str) else None


def _number(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
