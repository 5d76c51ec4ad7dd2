"""From the resolved order to FRR's lines, in just the words that FRR prints back. Pure.

Policy, both ways denied unless named:
- in: the provider's reserved ranges and our own (unless a longer prefix of them is accepted by name) are refused,
  then `accept` holds; `any` is all but the default route, which must be named.
- out: `advertise`, and of these only routes that began in our own AS (an empty AS path), so that no cloud's route
  ever reaches another cloud through us.
- preference: local preference inbound; outbound the means that the profile says its cloud heeds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from ipaddress import ip_network
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from dcedge.bgp.bfd import place_of
from dcedge.bgp.config import Line, parse_lines
from dcedge.bgp.names import (
    ORIGIN_MAP,
    OWN_PATHS,
    OWNER_MARK,
    Direction,
    bfd_profile_name,
    inbound_map_name,
    milliseconds,
    outbound_map_name,
    policy_name,
)
from dcedge.bgp.resources import COMMON, COMMON_KEY, MAP, POLICY, PROFILE, ROUTER, SESSION, FrrBlock
from dcedge.credentials import Secret
from dcedge.errors import FrrError
from dcedge.order.kinds import Family, Prefix
from dcedge.order.model import BfdTimers, Credential, Preference, Router
from dcedge.order.resolve import ResolvedInterface, Session
from dcedge.resource import Key

# FRR's own default, which an operator's other routes have, is 100: a backup path still beats those, a drained one
# loses to everything (RFC 8326, section 4.2).
LOCAL_PREFERENCE: Mapping[Preference, int] = {"primary": 200, "equal": 150, "backup": 110}
DRAINED_LOCAL_PREFERENCE = 0
PREPEND: Mapping[Preference, int] = {"primary": 0, "equal": 0, "backup": 3}
DRAINED_PREPEND = 5
# A cloud takes a missing MED for 0, the best (RFC 4271, section 9.1.2.2), so the better ones are said too.
MED: Mapping[Preference, int] = {"primary": 0, "equal": 0, "backup": 100}
DRAINED_MED = 1000
GRACEFUL_SHUTDOWN = 65535 << 16  # RFC 8326
CONNECT_RETRY_SECONDS = 5  # FRR's 120 leaves a repaired line idle for two minutes
# bfdd refuses a multihop BFD packet whose TTL is below 256 minus bgpd's hop count, whatever the profile's minimum-ttl
# says (8.4.4, measured). RFC 5883 sets no TTL, and BIRD sends 64, so with BFD the most that bgpd prints is said.
BFD_MULTIHOP = 254
RESTART_MINUTES = 5
LAST_SEQ = 2_147_483_647  # FRR takes twice that, but prints what is above as if it were negative: first
BAND = 8_000_000

FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
EVERYTHING: Mapping[Family, Prefix] = {"ipv4": ip_network("0.0.0.0/0"), "ipv6": ip_network("::/0")}
_WORD = re.compile(r"[\x21-\x7e]+")
_PASSWORD = re.compile(r"[\x21-\x7e]{1,80}")  # TCP_MD5SIG_MAXKEYLEN; bgpd refuses more, and any blank
# Those that FRR prints by name (community_str() in bgpd/bgp_community.c).
_WELL_KNOWN: Mapping[int, str] = {
    0xFFFF0000: "graceful-shutdown",
    0xFFFF0001: "accept-own",
    0xFFFF0002: "route-filter-translated-v4",
    0xFFFF0003: "route-filter-v4",
    0xFFFF0004: "route-filter-translated-v6",
    0xFFFF0005: "route-filter-v6",
    0xFFFF0006: "llgr-stale",
    0xFFFF0007: "no-llgr",
    0xFFFF0008: "accept-own-nexthop",
    0xFFFF029A: "blackhole",
    0xFFFFFF01: "no-export",
    0xFFFFFF02: "no-advertise",
    0xFFFFFF03: "local-AS",
    0xFFFFFF04: "no-peer",
}
# FRR had a name for 0:0 before 10.3 and refuses it since; what is read back says the number (config.py).
_BY_NAME = {"internet": 0} | {name: value for value, name in _WELL_KNOWN.items()}


class FrrRenderError(FrrError):
    """A value that cannot stand in FRR's configuration; the text names the place, never a secret."""


@dataclass(frozen=True, slots=True)
class PrefixRule:
    """One entry of a prefix-list."""

    seq: int
    action: str
    prefix: Prefix
    le: int | None


@dataclass(frozen=True, slots=True)
class _List:
    name: str
    word: str
    entries: tuple[PrefixRule, ...]


def derive_frr(
    interfaces: Iterable[ResolvedInterface],
    router: Router,
    secrets: Mapping[Credential, Secret],
    drained: frozenset[str] = frozenset(),
    unchanged: Collection[str] = (),
    before: Mapping[Key, FrrBlock] = MappingProxyType({}),
    *,
    bfd_waits: frozenset[str] = frozenset(),
) -> dict[Key, FrrBlock]:
    """The FRR blocks of an order.

    `unchanged` names the virtual interfaces for which nothing differs from when `before` was derived, router, secrets
    and `drained` included: what concerns only them is taken over from there.

    The sessions in `bfd_waits` are left without BFD for now.

    A session whose secret is not among `secrets` is shut, never run without its key; see `keep_unkeyed`.

    Raises:
        FrrRenderError: A value would not be one word of a configuration line.
    """
    chosen = [interface for interface in interfaces if interface.sessions]
    if not chosen:
        return {}
    blocks = [_common(chosen)]
    blocks += _profiles(chosen)
    by_gateway: dict[str, list[ResolvedInterface]] = {}
    by_vrf: dict[str | None, list[ResolvedInterface]] = {}
    for interface in chosen:
        by_gateway.setdefault(interface.virtual_gateway, []).append(interface)
        by_vrf.setdefault(interface.vrf, []).append(interface)
    for gateway, members in by_gateway.items():
        same = before.get(Key(POLICY, gateway)) if all(member.name in unchanged for member in members) else None
        kept = same is not None and len(same.affects) == len(members)
        blocks.append(same if same is not None and kept else _policy(gateway, members, router))
    blocks += _maps(chosen, drained, before)
    blocks += [_router(vrf, members, router) for vrf, members in by_vrf.items()]
    for interface in chosen:
        same = before.get(session_key(interface.name)) if interface.name in unchanged else None
        blocks.append(same or _session(interface, router, secrets, interface.name in drained, bfd_waits))
    return {block.key: before[block.key] if before.get(block.key) == block else block for block in blocks}


def session_key(virtual_interface: str) -> Key:
    """The key of a virtual interface's block."""
    return Key(SESSION, virtual_interface)


def unkeyed(interfaces: Iterable[ResolvedInterface], secrets: Mapping[Credential, Secret]) -> tuple[str, ...]:
    """The virtual interfaces that lack a secret for one of their sessions."""
    return tuple(
        interface.name
        for interface in interfaces
        if any(session.password is not None and session.password not in secrets for session in interface.sessions)
    )


def keep_unkeyed(
    wanted: Mapping[Key, FrrBlock], observed: Mapping[Key, FrrBlock], names: Iterable[str]
) -> dict[Key, FrrBlock]:
    """The intent, but sessions that run already stay as they are while their secret cannot be read."""
    held = {key: observed[key] for name in names if (key := session_key(name)) in observed}
    return {**wanted, **held}


def router_name(vrf: str | None) -> str:
    """What a VRF's block is called; `default` is the main table, as FRR calls it."""
    return vrf or "default"


def _common(interfaces: Sequence[ResolvedInterface]) -> FrrBlock:
    return _block(
        COMMON_KEY,
        [interface.name for interface in interfaces],
        "common",
        bfd=any(session.bfd for interface in interfaces for session in interface.sessions),
    )


def _profiles(interfaces: Sequence[ResolvedInterface]) -> list[FrrBlock]:
    users: dict[BfdTimers, list[str]] = {}
    for interface in interfaces:
        for session in interface.sessions:
            if session.bfd:
                users.setdefault(session.bfd, []).append(interface.name)
    blocks = []
    for timers, names in users.items():
        name = bfd_profile_name(timers)
        blocks.append(
            _block(
                Key(PROFILE, name),
                names,
                "profile",
                name=name,
                milliseconds=milliseconds(timers.interval),
                multiplier=timers.multiplier,
            )
        )
    return blocks


def _policy(gateway: str, members: Sequence[ResolvedInterface], router: Router) -> FrrBlock:
    families = {session.family for member in members for session in member.sessions}
    lists = [
        made
        for family in FAMILIES
        if family in families
        for made in (_list_in(gateway, family, members, router), _list_out(gateway, family, members))
    ]
    names = [member.name for member in members]
    return _block(Key(POLICY, gateway), names, "policy", lists=lists, last_seq=LAST_SEQ)


def _router(vrf: str | None, members: Sequence[ResolvedInterface], router: Router) -> FrrBlock:
    prefixes = {prefix for member in members for prefix in member.advertise}
    networks = [
        (family, sorted(str(prefix) for prefix in prefixes if prefix.version == int(family[-1]))) for family in FAMILIES
    ]
    return _block(
        Key(ROUTER, router_name(vrf)),
        [member.name for member in members],
        "router",
        asn=router.asn,
        vrf=vrf,
        router_id=router.router_id,
        relax=_needs_relax(members),
        graceful_restart=any(session.graceful_restart for member in members for session in member.sessions),
        networks=[(family, texts) for family, texts in networks if texts],
    )


def _needs_relax(members: Sequence[ResolvedInterface]) -> bool:
    """Whether equal paths of one gateway come with different AS paths, which FRR balances only when told to."""
    asns: dict[str, set[int]] = {}
    for member in members:
        if member.preference == "equal":
            asns.setdefault(member.virtual_gateway, set()).update(s.cloud_asn for s in member.sessions)
    return any(len(seen) > 1 for seen in asns.values())


def _maps(
    interfaces: Iterable[ResolvedInterface], drained: frozenset[str], before: Mapping[Key, FrrBlock]
) -> list[FrrBlock]:
    """The route-maps, one for all who need the same: FRR's time to load them grows with the square of their number.

    A name says all that is in its map, so one that was there before is taken over where its users are the same.
    """
    users: dict[str, list[str]] = {}
    inbound: dict[str, tuple[str, Family, int]] = {}
    outbound: dict[str, _Outbound] = {}
    for interface in interfaces:
        preference = _local_preference(interface, interface.name in drained)
        for family in {session.family for session in interface.sessions}:
            name = inbound_map_name(interface.virtual_gateway, family, preference)
            inbound[name] = interface.virtual_gateway, family, preference
            users.setdefault(name, []).append(interface.name)
        says = _Outbound.of(interface, interface.name in drained)
        outbound[says.name] = says
        users.setdefault(says.name, []).append(interface.name)
    kept = {
        name: same
        for name, names in users.items()
        if (same := before.get(_map_key(name))) is not None and same.affects == tuple(sorted(names))
    }
    return [
        *kept.values(),
        *(
            _block(
                _map_key(name),
                users[name],
                "map_in",
                name=name,
                word=_word(family),
                list=policy_name(gateway, family, "in"),
                local_preference=preference,
            )
            for name, (gateway, family, preference) in inbound.items()
            if name not in kept
        ),
        *(
            _block(
                _map_key(name),
                users[name],
                "map_out",
                name=name,
                prepend=says.prepend,
                communities=says.communities,
                med=says.med,
            )
            for name, says in outbound.items()
            if name not in kept
        ),
    ]


def _map_key(name: str) -> Key:
    return Key(MAP, name)


def _local_preference(interface: ResolvedInterface, drained: bool) -> int:
    return DRAINED_LOCAL_PREFERENCE if drained else LOCAL_PREFERENCE[interface.preference]


@dataclass(frozen=True, slots=True)
class _Outbound:
    """What an announcement says besides the prefix."""

    prepend: tuple[int, ...]
    communities: tuple[str, ...]
    med: int | None

    @classmethod
    def of(cls, interface: ResolvedInterface, drained: bool) -> _Outbound:
        first = interface.sessions[0]
        return cls(
            _prepend(interface, first.customer_asn, drained),
            _communities(interface, first, drained),
            _med(interface, first, drained),
        )

    @property
    def name(self) -> str:
        return outbound_map_name(repr((self.prepend, self.communities, self.med)))


def _session(
    interface: ResolvedInterface,
    router: Router,
    secrets: Mapping[Credential, Secret],
    drained: bool,
    bfd_waits: frozenset[str],
) -> FrrBlock:
    preference = _local_preference(interface, drained)
    says = _Outbound.of(interface, drained).name
    return _block(
        session_key(interface.name),
        [interface.name],
        "session",
        peers=[
            {
                **_peer(session, interface, secrets),
                "bfd_joins": place_of(interface.vrf, session.cloud) not in bfd_waits,
                "list_out": policy_name(interface.virtual_gateway, session.family, "out"),
                "map_in": inbound_map_name(interface.virtual_gateway, session.family, preference),
                "map_out": says,
            }
            for session in interface.sessions
        ],
        asn=router.asn,
        vrf=interface.vrf,
        virtual_interface=interface.name,
    )


def _peer(session: Session, interface: ResolvedInterface, secrets: Mapping[Credential, Secret]) -> dict[str, object]:
    secret = secrets.get(session.password) if session.password is not None else None
    return {
        "address": session.cloud,
        "asn": session.cloud_asn,
        "customer_asn": session.customer_asn,
        "shut": not session.admin_up or (session.password is not None and secret is None),
        "bfd_profile": bfd_profile_name(session.bfd) if session.bfd else None,
        "password": _password(secret, interface.name) if secret is not None else None,
        "ttl_security": session.ttl_security,
        "hops": _hops(session),
        "keepalive": session.keepalive,
        "hold": session.hold,
        "connect": CONNECT_RETRY_SECONDS,
        "family": session.family,
        "other_family": "ipv6" if session.family == "ipv4" else "ipv4",
        "receive_limit": session.receive_limit,
        # A list of accepted prefixes bounds the table already, and one prefix more must not take all paths to a
        # VPC down together; with `any` nothing else protects the router.
        "over_limit": "restart" if interface.accept is None else "warning-only",
        "restart": RESTART_MINUTES if interface.accept is None else None,
        "advertise_limit": session.advertise_limit,
        "allowas_in": session.allowas_in,
        "graceful_restart": session.graceful_restart,
    }


def _hops(session: Session) -> int:
    """What `ebgp-multihop` says where it is more than 1; `ttl-security` counts the same way and keeps to the order."""
    far = session.multihop > 1 and session.bfd is not None and not session.ttl_security
    return BFD_MULTIHOP if far else session.multihop


def _password(secret: Secret, virtual_interface: str) -> str:
    text = secret.reveal()
    if not _PASSWORD.fullmatch(text):
        raise FrrRenderError(
            f"the password of virtual interface {virtual_interface} must be 1-80 printable ASCII characters, no blank"
        )
    return text


def _prepend(interface: ResolvedInterface, asn: int, drained: bool) -> tuple[int, ...]:
    if "prepend" not in interface.profile.preference_means:
        return ()
    return (asn,) * (DRAINED_PREPEND if drained else PREPEND[interface.preference])


def _med(interface: ResolvedInterface, session: Session, drained: bool) -> int | None:
    heeded = "med" in interface.profile.preference_means
    if drained and heeded:
        return DRAINED_MED
    if session.med is not None:
        return session.med
    return MED[interface.preference] if heeded else None


def _communities(interface: ResolvedInterface, session: Session, drained: bool) -> tuple[str, ...]:
    # A drained path says what a backup says, and that it is going.
    preference = "backup" if drained else interface.preference
    values = {community_value(text) for text in session.communities}
    values |= {community_value(text) for of, text in interface.profile.preference_communities if of == preference}
    if drained:
        values.add(GRACEFUL_SHUTDOWN)
    return tuple(canonical_communities(values))


def community_value(text: str) -> int:
    """The 32 bits of a community (RFC 1997) in `high:low` or one of FRR's names.

    Raises:
        FrrRenderError: It is neither.
    """
    if text in _BY_NAME:
        return _BY_NAME[text]
    high, _, low = text.partition(":")
    if not (high.isdecimal() and low.isdecimal() and int(high) <= 65535 and int(low) <= 65535):
        raise FrrRenderError(f"{text!r} is not a community (0-65535:0-65535)")
    return int(high) << 16 | int(low)


def canonical_communities(values: Iterable[int]) -> list[str]:
    """Communities as FRR prints them: each once, ascending, the well-known ones by name."""
    return [_WELL_KNOWN.get(value) or f"{value >> 16}:{value & 0xFFFF}" for value in sorted(set(values))]


def _word(family: Family) -> str:
    return "ip" if family == "ipv4" else "ipv6"


def _list_in(gateway: str, family: Family, members: Sequence[ResolvedInterface], router: Router) -> _List:
    version, longest = (4, 32) if family == "ipv4" else (6, 128)

    def of_family(prefixes: Iterable[Prefix]) -> list[Prefix]:
        return [prefix for prefix in prefixes if prefix.version == version]

    reserved = of_family(prefix for member in members for prefix in member.profile.reserved)
    own = of_family([*router.advertise, *(prefix for member in members for prefix in member.advertise)])
    wanted: list[tuple[int, str, Prefix, int | None]] = [
        (0, "deny", prefix, _le(prefix, longest)) for prefix in reserved
    ]
    wanted += [(_band(prefix, longest, "deny"), "deny", prefix, _le(prefix, longest)) for prefix in own]
    accept = members[0].accept
    if accept is None:
        everything = EVERYTHING[family]
        wanted.append((_band(everything, longest, "deny"), "deny", everything, None))
        wanted.append((_band(everything, longest, "permit"), "permit", everything, longest))
    else:
        wanted += [
            (_band(entry.prefix, longest, "permit"), "permit", entry.prefix, entry.le)
            for entry in accept
            if entry.prefix.version == version
        ]
    return _list(gateway, family, "in", wanted)


def _list_out(gateway: str, family: Family, members: Sequence[ResolvedInterface]) -> _List:
    version = int(family[-1])
    advertise = {prefix for member in members for prefix in member.advertise if prefix.version == version}
    return _list(gateway, family, "out", [(1, "permit", prefix, None) for prefix in advertise])


def _list(gateway: str, family: Family, way: Direction, wanted: Iterable[tuple[int, str, Prefix, int | None]]) -> _List:
    return _List(policy_name(gateway, family, way), _word(family), numbered(wanted))


def numbered(wanted: Iterable[tuple[int, str, Prefix, int | None]]) -> tuple[PrefixRule, ...]:
    """Entries (band, action, prefix, le) with sequence numbers made from what they say.

    A number made from the entry itself stays when others come and go (but for a collision: 1 in 8 million a pair):
    one prefix more is one line more, and no update that arrives meanwhile meets a list half renumbered.
    """
    taken: set[int] = set()
    said: set[tuple[str, Prefix, int | None]] = set()  # FRR refuses one entry twice
    rules = []
    for band, action, prefix, le in sorted(wanted, key=lambda entry: (entry[0], str(entry[2]), entry[3] or 0)):
        if (action, prefix, le) in said:
            continue
        said.add((action, prefix, le))
        digest = blake2b(f"{action} {prefix} {le}".encode(), digest_size=8).digest()
        seq = band * BAND + 1 + int.from_bytes(digest) % (BAND - 1)
        while seq in taken:
            seq += 1
        taken.add(seq)
        rules.append(PrefixRule(seq, action, prefix, le))
    return tuple(sorted(rules, key=lambda rule: rule.seq))


def _band(prefix: Prefix, longest: int, action: str) -> int:
    """The longer prefix speaks first, and of equal ones the refusal. Band 0 is before all of these."""
    return 1 + 2 * (longest - prefix.prefixlen) + (action == "permit")


def _le(prefix: Prefix, longest: int) -> int | None:
    # Of a default route of our own only itself is refused, not all that it covers.
    return longest if 0 < prefix.prefixlen < longest else None


def _block(key: Key, affects: Iterable[str], template: str, **values: object) -> FrrBlock:
    constants = {"own_paths": OWN_PATHS, "origin_map": ORIGIN_MAP, "owner_mark": OWNER_MARK}
    lines = parse_lines(_template(template).render(constants | values))
    return FrrBlock.of(key, affects, (line for line in lines if not _shared_context(line, key)))


def _shared_context(line: Line, key: Key) -> bool:
    """Whether the line only opens a context that several blocks stand in; two blocks own such lines, the rest not."""
    if line.path:
        return line.text.startswith("address-family ")
    return (line.text == "bfd" and key.kind != COMMON) or (line.text.startswith("router bgp ") and key.kind != ROUTER)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("dcedge.bgp"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - router configuration, not HTML; _one_word is its escaping
        finalize=_one_word,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.j2")


def _one_word(value: object) -> str:
    """Every value that enters a template is one word of printable ASCII: it can start no line and add no argument."""
    text = str(value)
    if not _WORD.fullmatch(text):
        raise FrrRenderError(f"{len(text)} characters that are not one printable word cannot stand in a line")
    return text
