"""The lines of a virtual interface's BGP sessions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dcedge.frr.bfd_waits import place_of
from dcedge.frr.blocks import FrrRenderError, block_of
from dcedge.frr.object_names import (
    bfd_profile_name,
    inbound_map_name,
    policy_name,
)
from dcedge.frr.policy import Announcement, local_preference
from dcedge.frr.resources import SESSION, FrrBlock
from dcedge.order.credentials import Secret
from dcedge.order.model import Credential, Router
from dcedge.order.resolve import ResolvedInterface, Session
from dcedge.plan.resource import Key

CONNECT_RETRY_SECONDS = 5  # FRR's 120 leaves a repaired line idle for two minutes
# bfdd refuses a multihop BFD packet whose TTL is below 256 minus bgpd's hop count, whatever the profile's minimum-ttl
# says (8.4.4, measured). RFC 5883 sets no TTL, and BIRD sends 64, so with BFD the most that bgpd prints is said.
BFD_MULTIHOP = 254
RESTART_MINUTES = 5
_PASSWORD = re.compile(r"[\x21-\x7e]{1,80}")  # TCP_MD5SIG_MAXKEYLEN; bgpd refuses more, and any blank


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
    intended: Mapping[Key, FrrBlock], observed: Mapping[Key, FrrBlock], names: Iterable[str]
) -> dict[Key, FrrBlock]:
    """The intent, but sessions that run already stay as they are while their secret cannot be read."""
    held = {key: observed[key] for name in names if (key := session_key(name)) in observed}
    return {**intended, **held}


def session_block(
    interface: ResolvedInterface,
    router: Router,
    secrets: Mapping[Credential, Secret],
    drained: bool,
    bfd_waits: frozenset[str],
) -> FrrBlock:
    preference = local_preference(interface, drained)
    says = Announcement.of(interface, drained).name
    return block_of(
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
