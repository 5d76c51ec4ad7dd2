"""What is announced and accepted: prefix-lists and route-maps. Pure.

Both ways all is denied that is not named:
- in: the provider's reserved ranges and our own (unless a longer prefix of them is accepted by name) are refused,
  then `accept` holds; `any` is all but the default route, which must be named.
- out: `advertise`, and of these only routes that began in our own AS (an empty AS path), so that no cloud's route
  ever reaches another cloud through us.
- preference: local preference inbound; outbound the means that the profile says its cloud heeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_network

from dcedge.frr.blocks import block_of
from dcedge.frr.communities import canonical_communities, community_value
from dcedge.frr.object_names import (
    Direction,
    inbound_map_name,
    outbound_map_name,
    policy_name,
)
from dcedge.frr.resources import MAP, POLICY, FrrBlock
from dcedge.order.field_types import Family, Prefix
from dcedge.order.model import Preference, Router
from dcedge.order.resolve import ResolvedInterface, Session
from dcedge.plan.resource import Key

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
LAST_SEQ = 2_147_483_647  # FRR takes twice that, but prints what is above as if it were negative: first
BAND = 8_000_000
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
EVERYTHING: Mapping[Family, Prefix] = {"ipv4": ip_network("0.0.0.0/0"), "ipv6": ip_network("::/0")}


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


def policy_block(gateway: str, members: Sequence[ResolvedInterface], router: Router) -> FrrBlock:
    families = {session.family for member in members for session in member.sessions}
    lists = [
        made
        for family in FAMILIES
        if family in families
        for made in (_list_in(gateway, family, members, router), _list_out(gateway, family, members))
    ]
    names = [member.name for member in members]
    return block_of(Key(POLICY, gateway), names, "policy", lists=lists, last_seq=LAST_SEQ)


def map_blocks(
    interfaces: Iterable[ResolvedInterface], drained: frozenset[str], before: Mapping[Key, FrrBlock]
) -> list[FrrBlock]:
    """The route-maps, one for all who need the same: FRR's time to load them grows with the square of their number.

    A name says all that is in its map, so one that was there before is taken over where its users are the same.
    """
    users: dict[str, list[str]] = {}
    inbound: dict[str, tuple[str, Family, int]] = {}
    outbound: dict[str, Announcement] = {}
    for interface in interfaces:
        preference = local_preference(interface, interface.name in drained)
        for family in {session.family for session in interface.sessions}:
            name = inbound_map_name(interface.virtual_gateway, family, preference)
            inbound[name] = interface.virtual_gateway, family, preference
            users.setdefault(name, []).append(interface.name)
        says = Announcement.of(interface, interface.name in drained)
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
            block_of(
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
            block_of(
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


def local_preference(interface: ResolvedInterface, drained: bool) -> int:
    return DRAINED_LOCAL_PREFERENCE if drained else LOCAL_PREFERENCE[interface.preference]


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an announcement says besides the prefix."""

    prepend: tuple[int, ...]
    communities: tuple[str, ...]
    med: int | None

    @classmethod
    def of(cls, interface: ResolvedInterface, drained: bool) -> Announcement:
        first = interface.sessions[0]
        return cls(
            _prepend(interface, first.customer_asn, drained),
            _communities(interface, first, drained),
            _med(interface, first, drained),
        )

    @property
    def name(self) -> str:
        return outbound_map_name(repr((self.prepend, self.communities, self.med)))


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
