"""What a frame takes on the wire beyond what HTB counts, and what that leaves of a rate. Pure."""

from __future__ import annotations

from dcedge.kernel.queue.shaping import ETHERNET_HEADER_BYTES
from dcedge.order.resolve import ResolvedInterface

FRAMING_BYTES = 24  # preamble and start 8, FCS 4, gap 12 (IEEE 802.3-2018, 3.1.1 and 4.4.2)
TAG_BYTES = 4
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
