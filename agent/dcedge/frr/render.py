"""From the resolved order to FRR's lines, in just the words that FRR prints back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from dcedge.frr.blocks import block_of
from dcedge.frr.object_names import (
    bfd_profile_name,
    milliseconds,
)
from dcedge.frr.policy import FAMILIES, map_blocks, policy_block
from dcedge.frr.resources import COMMON_KEY, POLICY, PROFILE, ROUTER, FrrBlock
from dcedge.frr.session_block import session_block, session_key
from dcedge.order.credentials import Secret
from dcedge.order.model import BfdTimers, Credential, Router
from dcedge.order.resolve import ResolvedInterface
from dcedge.plan.resource import Key


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
        blocks.append(same if same is not None and kept else policy_block(gateway, members, router))
    blocks += map_blocks(chosen, drained, before)
    blocks += [_router(vrf, members, router) for vrf, members in by_vrf.items()]
    for interface in chosen:
        same = before.get(session_key(interface.name)) if interface.name in unchanged else None
        blocks.append(same or session_block(interface, router, secrets, interface.name in drained, bfd_waits))
    return {block.key: before[block.key] if before.get(block.key) == block else block for block in blocks}


def router_name(vrf: str | None) -> str:
    """What a VRF's block is called; `default` is the main table, as FRR calls it."""
    return vrf or "default"


def _common(interfaces: Sequence[ResolvedInterface]) -> FrrBlock:
    return block_of(
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
            block_of(
                Key(PROFILE, name),
                names,
                "profile",
                name=name,
                milliseconds=milliseconds(timers.interval),
                multiplier=timers.multiplier,
            )
        )
    return blocks


def _router(vrf: str | None, members: Sequence[ResolvedInterface], router: Router) -> FrrBlock:
    prefixes = {prefix for member in members for prefix in member.advertise}
    networks = [
        (family, sorted(str(prefix) for prefix in prefixes if prefix.version == int(family[-1]))) for family in FAMILIES
    ]
    return block_of(
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
