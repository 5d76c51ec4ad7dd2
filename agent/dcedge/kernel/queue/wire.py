"""What a frame takes on the wire beyond what HTB counts, and what that leaves of a rate. Pure.

HTB counts neither tag nor FCS, preamble and gap. So virtual interfaces that fill a port by their ordered rates ask for
more than its wire has, and the card's queue is where packets wait and are lost, control packets as any other.
"""

from __future__ import annotations

from collections.abc import Collection

from dcedge.kernel.queue.shaping import ETHERNET_HEADER_BYTES, WireRate, frame_bytes
from dcedge.order.resolve import ResolvedInterface

FRAMING_BYTES = 24  # preamble and start 8, FCS 4, gap 12 (IEEE 802.3-2018, 3.1.1 and 4.4.2)
TAG_BYTES = 4
FRAME_BYTES_MIN = 60  # without FCS (IEEE 802.3-2018, 4.2.3.3)
WIRE_SHARE = 0.995  # of a wire: its clock and ours may differ, and what bounds has to be here
PACKET_SIZES = (64, 512, 1500)


def carried_bps(interface: ResolvedInterface, packet_bytes: int) -> float:
    """The most that a virtual interface carries in IP packets of one size, in bits a second of these packets.

    Its shaper counts the Ethernet header and `overhead`; the wire, which is taken to be as fast as the connection that
    has the port is ordered, needs framing and tags too. A larger packet than the MTU is counted at the MTU.
    """
    packet = min(packet_bytes, interface.mtu)
    shaped = packet + ETHERNET_HEADER_BYTES + interface.overhead
    on_wire = packet + ETHERNET_HEADER_BYTES + FRAMING_BYTES + TAG_BYTES * len(interface.tags)
    return min(interface.shaped_bps * packet / shaped, interface.port_connection.rate_bps * packet / on_wire)


def wire_needed_bps(users: Collection[ResolvedInterface]) -> float:
    """The most that virtual interfaces together can ask of their port's wire: by frames as small as there are."""
    hosted: dict[str, int] = {}
    direct = 0
    for user in users:
        if user.hosted_connection is None:
            direct += user.shaped_bps
        else:
            name, most = user.hosted_connection.connection, user.hosted_connection.rate_bps
            hosted[name] = min(most, hosted.get(name, 0) + user.shaped_bps)
    ordered = min(direct + sum(hosted.values()), max(user.port_connection.rate_bps for user in users))
    return ordered * max(
        (FRAME_BYTES_MIN + FRAMING_BYTES + TAG_BYTES * len(user.tags)) / (FRAME_BYTES_MIN + user.overhead)
        for user in users
    )


def wire_to_hold(users: Collection[ResolvedInterface], port_bps: int | None, *, crowded: bool) -> WireRate | None:
    """What bounds the virtual interfaces of a port that runs at a speed; None where they cannot fill its wire.

    `crowded`: they could send more than is ordered on the port, too; then what that takes in full frames bounds them.
    Tags below the outermost one are in the frame already when it comes to the port's queue.
    """
    if port_bps is None or wire_needed_bps(users) <= (most := int(port_bps * WIRE_SHARE)):
        return None
    tag = TAG_BYTES if any(user.tags for user in users) else 0
    counted = FRAMING_BYTES + tag
    if crowded:
        user = max(users, key=lambda one: one.mtu)
        frame = frame_bytes(user.mtu)
        most = min(most, user.port_connection.rate_bps * (frame + counted) // (frame + user.overhead))
    return WireRate(most, counted, FRAME_BYTES_MIN + counted)
