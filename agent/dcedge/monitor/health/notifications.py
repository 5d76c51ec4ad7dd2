"""What FRR says of a session's end, and what the NOTIFICATION in it means (RFC 4271, 4.5; RFC 4486)."""

from __future__ import annotations

from dcedge.monitor.health.verdict import Layer, Side

_REMOVED = "peer de-configured"
# NOTIFICATIONs (RFC 4271, 4.5; RFC 4486) in FRR's words: the layer they speak of; what it means, and whose side has to
# look, where the cloud sent it and where this router did.
_NOTIFICATIONS: tuple[tuple[str, Layer, tuple[str, Side], tuple[str, Side]], ...] = (
    (
        "bad peer as",
        "open",
        ("the cloud refuses our AS{customer}: another customer ASN is set there", "cloud"),
        ("the cloud does not use the ordered AS{cloud}", "cloud"),
    ),
    (
        "open message error",
        "open",
        ("the cloud refuses our OPEN", "cloud"),
        ("the cloud's OPEN cannot be accepted", "cloud"),
    ),
    (
        "maximum number of prefixes",
        "prefixes",
        ("we announce more prefixes than the cloud accepts", "customer"),
        ("the cloud announces more prefixes than the order's receive_limit{limit}", "cloud"),
    ),
    (
        "administrative shutdown",
        "bgp",
        ("the cloud has shut the session down", "cloud"),
        ("this router has shut the session down", "customer"),
    ),
    (
        _REMOVED,
        "bgp",
        ("the cloud has removed the session", "cloud"),
        ("this router has removed the session", "customer"),
    ),
    (
        "connection rejected",
        "bgp",
        ("the cloud rejects the session", "cloud"),
        ("this router rejects the session", "customer"),
    ),
    (
        "out of resources",
        "bgp",
        ("the cloud has no resources left for the session", "cloud"),
        ("this router has no resources left for the session", "customer"),
    ),
)
_RECEIVED, _SENT = "bgp notification received", "bgp notification sen"


def _frrs_own(last_reset: str | None) -> str:
    """FRR's words for a session's end, in small letters, without what the peer had to say besides (RFC 9003)."""
    return ": ".join((last_reset or "").lower().split(": ", 2)[:2])


def refusal(last_reset: str) -> tuple[str, Layer, Side] | None:
    """What the NOTIFICATION in FRR's reason of a session's end says is wrong: in words, the layer, and whose side."""
    said = _frrs_own(last_reset)
    for sign, layer, received, sent in _NOTIFICATIONS:
        if sign in said:
            meaning, side = sent if _SENT in said else received
            return meaning, layer, side
    return None


def said_by_cloud(last_reset: str | None) -> bool:
    """Whether the cloud itself has said why it wants no session: that outweighs what is guessed from outside."""
    return refusal(last_reset or "") is not None and _RECEIVED in _frrs_own(last_reset)


def stays_ended(last_reset: str | None) -> bool:
    """Whether the cloud has closed the session and keeps its part of it: it forgets the password until it is back."""
    return said_by_cloud(last_reset) and _REMOVED not in _frrs_own(last_reset)


BFD_LOST, CLOUD_ENDED = "BFD went down", "the cloud has closed the session"


def lost_by(last_reset: str | None) -> str | None:
    """How a session was lost, where that is known and names no fault."""
    said = _frrs_own(last_reset)
    if "bfd down" in said:
        return BFD_LOST
    return CLOUD_ENDED if _RECEIVED in said else None
