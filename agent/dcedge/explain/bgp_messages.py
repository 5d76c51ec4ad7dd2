"""What a peer says in BGP, read from a TCP segment: its OPEN, and the NOTIFICATION that ends a session."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from dcedge.explain.evidence import OpenSeen

# Of RFC 4271, 6.2, RFC 5492, 5, RFC 9234, 4.2 and RFC 4486, 4: what names a fault by itself, in the words that FRR has
# for it.
_NOTIFICATIONS = {
    (2, 1): "OPEN Message Error/Unsupported Version Number",
    (2, 2): "OPEN Message Error/Bad Peer AS",
    (2, 3): "OPEN Message Error/Bad BGP Identifier",
    (2, 4): "OPEN Message Error/Unsupported Optional Parameter",
    (2, 6): "OPEN Message Error/Unacceptable Hold Time",
    (2, 7): "OPEN Message Error/Unsupported Capability",
    (2, 11): "OPEN Message Error/Role Mismatch",
    (6, 1): "Cease/Maximum Number of Prefixes Reached",
    (6, 2): "Cease/Administrative Shutdown",
    (6, 3): "Cease/Peer De-configured",
    (6, 5): "Cease/Connection Rejected",
    (6, 8): "Cease/Out of Resources",
}


def read_notification(payload: bytes) -> str | None:
    """The NOTIFICATION somewhere in a segment of a BGP stream (RFC 4271, 4.5), where it is one that names a fault."""
    at = 0
    while len(payload) >= at + 21 and payload[at : at + 16] == b"\xff" * 16:
        length, message_type = int.from_bytes(payload[at + 16 : at + 18]), payload[at + 18]
        if message_type == 3:
            code, subcode = payload[at + 19], payload[at + 20]
            return _NOTIFICATIONS.get((code, subcode), "OPEN Message Error" if code == 2 else None)
        if length < 19:
            return None
        at += length
    return None


def read_open(payload: bytes) -> OpenSeen | None:
    """The OPEN at the beginning of a BGP stream's segment (RFC 4271, 4.2; RFC 5492, 6793, 4760)."""
    if len(payload) < 29 or payload[:16] != b"\xff" * 16 or payload[18] != 1:
        return None
    _, asn, hold, router_id, length = struct.unpack_from("!BHH4sB", payload, 19)
    families: list[str] = []
    at, end = 29, min(29 + length, len(payload))
    while at + 2 <= end:
        parameter_type, size = payload[at], payload[at + 1]
        inner, stop = at + 2, min(at + 2 + size, end)
        while parameter_type == 2 and inner + 2 <= stop:
            code, width = payload[inner], payload[inner + 1]
            value = payload[inner + 2 : inner + 2 + width]
            if code == 65 and len(value) == 4:
                asn = int.from_bytes(value)
            elif code == 1 and len(value) == 4:
                afi, safi = struct.unpack("!HxB", value)
                families.append(f"{ {1: 'IPv4', 2: 'IPv6'}.get(afi, afi) }/{ {1: 'unicast'}.get(safi, safi) }")
            inner += 2 + width
        at = stop
    return OpenSeen(asn, hold, str(ip_address(router_id)), tuple(families))
