"""The sessions' state, from the one JSON that bgpd prints of all of them. What a peer sent is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from dcedge.bgp.names import OWNER_MARK
from dcedge.errors import FrrError
from dcedge.order.model import Address, Family

_FAMILY_NAMES: Mapping[str, Family] = {"ipv4Unicast": "ipv4", "ipv6Unicast": "ipv6"}
_TEXT_MAX = 200


@dataclass(frozen=True, slots=True)
class FamilyPrefixes:
    """Prefix counts of one session in one family.

    `received` is None: bgpd does not count what its inbound policy refuses.
    """

    family: Family
    received: int | None
    accepted: int
    advertised: int
    receive_limit: int | None
    advertise_limit: int | None


@dataclass(frozen=True, slots=True)
class SessionState:
    """One BGP session as bgpd sees it. Times in seconds, whole ones, as bgpd gives them."""

    peer: Address
    vrf: str  # `default`: the main table
    virtual_interface: str | None  # None: not one of ours
    state: str  # RFC 4271's: Idle, Connect, Active, OpenSent, OpenConfirm, Established
    admin_down: bool
    remote_asn: int
    uptime: float | None  # None: not established
    prefixes: tuple[FamilyPrefixes, ...]
    last_reset: str | None
    transitions: int  # how often it was lost
    bfd: str | None  # `up`, `down`, …; None: no BFD
    password: bool  # a key is configured
    hold: int
    keepalive: int

    @property
    def up(self) -> bool:
        """Established."""
        return self.state == "Established"


@dataclass(frozen=True, slots=True)
class BfdPeer:
    """One BFD session as bfdd sees it. Intervals in milliseconds, what is in force after the peers agreed."""

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


def escape(text: str) -> str:
    """Text that a peer may have supplied, made harmless to a terminal and a log: one line, printable, bounded."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= _TEXT_MAX else safe[: _TEXT_MAX - 1] + "…"


def parse_sessions(text: str) -> tuple[SessionState, ...]:
    """Read `show bgp vrf all neighbors json`.

    Raises:
        FrrError: It is not that.
    """
    tables = _object(text, "show bgp vrf all neighbors json")
    return tuple(
        _session(peer, vrf, facts)
        for vrf, table in tables.items()
        if isinstance(table, dict)
        for peer, facts in _peers(table)
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
    return tuple(_bfd(facts) for facts in peers if isinstance(facts, dict) and "peer" in facts)


def _object(text: str, command: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise FrrError(f"bgpd's answer to `{command}` is not JSON") from error
    if not isinstance(found, dict):
        raise FrrError(f"bgpd's answer to `{command}` is not an object")
    return found


def _peers(table: Mapping[str, object]) -> Iterator[tuple[Address, Mapping[str, object]]]:
    for name, facts in table.items():
        if isinstance(facts, dict) and "bgpState" in facts:
            try:
                yield ip_address(name), facts
            except ValueError:  # an unnumbered neighbour of the operator's
                continue


def _session(peer: Address, vrf: str, facts: Mapping[str, object]) -> SessionState:
    state = _text(facts, "bgpState") or "Idle"
    up = state == "Established"
    description = _text(facts, "nbrDesc") or ""
    bfd = facts.get("peerBfdInfo")
    families = facts.get("addressFamilyInfo")
    return SessionState(
        peer=peer,
        vrf=vrf,
        virtual_interface=description.removeprefix(OWNER_MARK) if description.startswith(OWNER_MARK) else None,
        state=state,
        admin_down=facts.get("adminShutDown") is True,
        remote_asn=_number(facts, "remoteAs"),
        uptime=_number(facts, "bgpTimerUpMsec") / 1000 if up else None,
        prefixes=tuple(
            _prefixes(_FAMILY_NAMES[name], counts)
            for name, counts in (families.items() if isinstance(families, dict) else ())
            if name in _FAMILY_NAMES and isinstance(counts, dict)
        ),
        last_reset=_text(facts, "lastResetDueTo"),
        transitions=_number(facts, "connectionsDropped"),
        bfd=(_text(bfd, "status") or "unknown").lower() if isinstance(bfd, dict) else None,
        password=bool(facts.get("authenticationEnabled")),
        hold=_number(facts, "bgpTimerHoldTimeMsecs") // 1000,
        keepalive=_number(facts, "bgpTimerKeepAliveIntervalMsecs") // 1000,
    )


def _prefixes(family: Family, counts: Mapping[str, object]) -> FamilyPrefixes:
    return FamilyPrefixes(
        family=family,
        received=None,
        accepted=_number(counts, "acceptedPrefixCounter"),
        advertised=_number(counts, "sentPrefixCounter"),
        receive_limit=_number(counts, "prefixAllowedMax") or None,
        advertise_limit=_number(counts, "prefixOutAllowedMax") or None,
    )


def _bfd(facts: Mapping[str, object]) -> BfdPeer:
    return BfdPeer(
        peer=ip_address(str(facts["peer"])),
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
    )


def _text(facts: Mapping[str, object], name: str) -> str | None:
    value = facts.get(name)
    return escape(value) if isinstance(value, str) else None


def _number(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
