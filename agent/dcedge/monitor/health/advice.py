"""What to do next about a verdict, in one sentence. Pure.

The daemon only listens; `dcedge explain` also tries things out, and so its advice is closer to the mark.
"""

from __future__ import annotations

from dcedge.monitor.health.verdict import Layer, Side, Verdict

SIDES: dict[Side, str] = {
    "customer": "this router (the customer's side)",
    "cloud": "the cloud",
    "line": "the line in between",
    "unknown": "not known",
}

_BY_LAYER: dict[Layer, str] = {
    "order": "Check the order, and the failed operations in `dcedge status`.",
    "port": "Check the port: the order's `port`, the card and its driver, and what set it down (`ip link`).",
    "light": "Ask the provider to measure the fibre and the light of their port; clean the connectors here.",
    "carrier": "Check the fibre and the transceiver here, then ask the provider to check their port.",
    "lacp": "Compare the bundle at both ends: LACP active on every member, none of them blocked.",
    "link": "Check why the link is missing or down: `dcedge plan` shows what is missing.",
    "frames": "Ask the provider whether the virtual interface exists on their port, with the ordered VLAN.",
    "neighbour": "Ask the provider whether the cloud's address is set, and answers ARP or neighbour discovery.",
    "ping": "Compare the times of packet loss with load and port errors, and report them to the provider.",
    "mtu": "Ask the provider for the ordered MTU on the whole path; large transfers hang until then.",
    "frr": "Start FRR with bgpd (and bfdd where BFD is ordered).",
    "tcp": "Check that the session is set up at the cloud, and that nothing filters TCP 179.",
    "md5": "Set the BGP password again at both ends.",
    "open": "Compare both ends' ASNs and capabilities with the order.",
    "bgp": "Ask the provider why the session is not up; `dcedge status NAME` has the last reset's reason.",
    "bfd": "Ask the provider to enable BFD with the ordered timers.",
    "prefixes": "Compare what is announced with the limits and with the gateway's `accept`.",
    "forwarding": "Check the routes and the other forwarding settings of this router.",
    "rate": "Ask the provider for the rate of their policer; `dcedge measure` measures it.",
    "none": "",
}


def next_step(verdict: Verdict) -> str:
    """What to do next; empty where nothing is to be done."""
    if verdict.state == "up":
        return ""
    if verdict.state == "drained":
        return "Let it carry traffic again with `dcedge undrain` when the work is done."
    if verdict.layer == "order" and verdict.state == "down":
        return "No fault: set `admin: up` in the order to use it."
    return _BY_LAYER[verdict.layer]
