"""The rules: what the nft table holds for a set of resources. Pure.

Every rule is the same whatever is ordered; what is ordered are elements of sets and maps, looked up by interface name.
A packet costs a few hash lookups and one search among its gateway's prefixes, with four virtual interfaces or 4,000:

- `forward` sends what a virtual interface receives through its gateway's chain (`from`): what would leave by another
  gateway's link is dropped unless `to-GATEWAY` names that link; then the source is looked up. A TCP SYN that comes or
  goes by a virtual interface has its MSS lowered to what the link's MTU carries.
- `input` guards the router itself from what a virtual interface receives: BGP, BFD and STAMP from the peer, ICMP, ND.
  No verdict needs connection tracking. Answers to connections that the router itself opens through a virtual
  interface (but for BGP's) are therefore dropped too: name servers, time and updates belong on the LAN's side.
- ICMP errors pass whatever their source is, for the provider's own routers send them from addresses that nobody
  announces, and without them path MTU discovery fails.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from dcedge.firewall.nft_table import (
    CONTROL_PLANE,
    COUNTERS,
    ISOLATED,
    MARK,
    OWNER_CHAIN,
    SPOOFED,
    Chain,
    Json,
    NftRule,
    SetHeader,
    Table,
)
from dcedge.firewall.objects import Guard
from dcedge.firewall.ranges import Range, merged
from dcedge.probe.stamp import REFLECTOR_PORT, SENDER_PORT

ECHO_PER_SECOND, ECHO_BURST, ECHO_FORGET_SECONDS = 100, 200, 60  # echo requests to the router, each virtual interface


def gateway_chain(gateway: str) -> str:
    """The chain for what a virtual gateway's links receive."""
    return f"from-{gateway}"


def reach_set(gateway: str) -> str:
    """The set of links by which a virtual gateway's packets may leave."""
    return f"to-{gateway}"


def sources_set(gateway: str, version: int) -> str:
    """The set of addresses that a virtual gateway may send from."""
    return f"sources{version}-{gateway}"


def clamp_chain(mtu: int) -> str:
    """The chain that lowers the MSS for links of this MTU."""
    return f"mss-{mtu}"


def render(
    sources: Mapping[str, Iterable[Range]], guards: Iterable[Guard], clamps: Iterable[str], *, vrf: bool
) -> Table:
    """The table for these virtual gateways (with all that each may send from) and links.

    `clamps`: the clamp chains that some link uses.
    """
    table = Table()
    for name, header in SHARED_SETS.items():
        table.add_set(name, header)
    table.chains.update(_shared_chains(vrf))
    for name in clamps:
        table.chains[name] = _clamp(name)
    for gateway, ranges in sources.items():
        table.add_set(reach_set(gateway), SetHeader(("ifname",)))
        allowed = merged(ranges)
        versions = tuple(sorted({one.version for one in allowed}))
        for version in versions:
            table.add_set(sources_set(gateway, version), SetHeader((f"ipv{version}_addr",), interval=True))
        table.chains[gateway_chain(gateway)] = _from_gateway(gateway, versions)
        for one in allowed:
            table.elements[sources_set(gateway, one.version)][one] = ""
    for guard in guards:
        for name, rest, data in guard.elements:
            if name in table.elements:
                table.elements[name][(guard.link, rest) if rest else (guard.link,)] = data
    return table


_LINK = SetHeader(("ifname",))
_COUNTED = SetHeader(("ifname",), counted=True)
_VERDICT = SetHeader(("ifname",), data="verdict")
SHARED_SETS: Mapping[str, SetHeader] = {
    "links": _LINK,
    "isolated": _LINK,
    "from": _VERDICT,
    "mss": _VERDICT,
    "peers4": SetHeader(("ifname", "ipv4_addr")),
    "peers6": SetHeader(("ifname", "ipv6_addr")),
    **dict.fromkeys(COUNTERS, _COUNTED),
    "echo": SetHeader(("ifname",), timeout=ECHO_FORGET_SECONDS),
}


def _meta(key: str) -> Json:
    return {"meta": {"key": key}}


def _field(protocol: str, name: str) -> Json:
    return {"payload": {"protocol": protocol, "field": name}}


def _match(left: Json, right: Json, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _one_of(left: Json, *values: Json) -> Json:
    return _match(left, {"set": list(values)} if len(values) > 1 else values[0])


def jump(target: str) -> Json:
    """A rule's verdict: go to a chain and come back."""
    return {"jump": {"target": target}}


def _goto(target: str) -> Json:
    return {"goto": {"target": target}}


def _vmap(key: str, name: str) -> Json:
    return {"vmap": {"key": _meta(key), "data": f"@{name}"}}


_ACCEPT: Json = {"accept": None}
_DROP: Json = {"drop": None}
_RETURN: Json = {"return": None}
_TCP_FLAGS = _field("tcp", "flags")
_ICMP_ERRORS = ("destination-unreachable", "time-exceeded", "parameter-problem")
_ICMPV6_ERRORS = ("destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem")
# RFC 4890, section 4.4.1, without what a router has no use for on such a link: router advertisements and redirects
# must not configure it. Multicast listener messages keep ND alive across switches that snoop.
_ICMPV6_NEIGHBOURS = (
    "nd-neighbor-solicit", "nd-neighbor-advert",
    "mld-listener-query", "mld-listener-report", "mld-listener-done", "mld2-listener-report",
)  # fmt: skip


def _hooked(hook: str) -> str:
    return f"filter {hook} 0 accept"


@functools.cache
def _shared_chains(vrf: bool) -> Mapping[str, Chain]:
    # In a VRF a packet seems to come from the VRF's device; `sdifname` is the link below it (l3mdev).
    receiving = ("iifname", "sdifname") if vrf else ("iifname",)
    shared: dict[str, tuple[str, list[list[Json]]]] = {
        OWNER_CHAIN: ("", []),
        "forward": (
            _hooked("forward"),
            [
                *([_vmap(meta, "from")] for meta in receiving),
                [_match({"&": [_TCP_FLAGS, ["syn", "rst"]]}, "syn"), jump("clamp")],
            ],
        ),
        "clamp": ("", [[_vmap(meta, "mss")] for meta in (*receiving, "oifname")]),
        "unlisted": (
            "",
            [
                [_one_of(_field("icmp", "type"), *_ICMP_ERRORS), _RETURN],
                [_one_of(_field("icmpv6", "type"), *_ICMPV6_ERRORS), _RETURN],
                *_counted_drop(receiving, SPOOFED),
            ],
        ),
        "foreign": ("", list(_counted_drop(receiving, ISOLATED))),
        "input": (_hooked("input"), [[_match(_meta(meta), "@links"), _goto("guard")] for meta in receiving]),
        "guard": ("", list(_guard(receiving))),
        "peer": ("", list(_peer())),
        "echo-in": ("", list(_echo(receiving))),
        "refused": ("", list(_counted_drop(receiving, CONTROL_PLANE))),
    }
    return {name: _chain(hook, rules) for name, (hook, rules) in shared.items()}


def _guard(receiving: Iterable[str]) -> Iterator[list[Json]]:
    for meta in receiving:
        yield [_match({"concat": [_meta(meta), _field("ip", "saddr")]}, "@peers4"), jump("peer")]
        yield [_match({"concat": [_meta(meta), _field("ip6", "saddr")]}, "@peers6"), jump("peer")]
    yield [_one_of(_field("icmp", "type"), *_ICMP_ERRORS), _ACCEPT]
    yield [_one_of(_field("icmpv6", "type"), *_ICMPV6_ERRORS, *_ICMPV6_NEIGHBOURS), _ACCEPT]
    for protocol in ("icmp", "icmpv6"):
        yield [_one_of(_field(protocol, "type"), "echo-request", "echo-reply"), _goto("echo-in")]
    yield [_goto("refused")]


def _peer() -> Iterator[list[Json]]:
    """BGP either way round; what comes from the peer's port 179 opens no connection. BFD: RFC 5881, RFC 5883; STAMP."""
    yield [_match(_field("tcp", "dport"), 179), _ACCEPT]
    opening = _match({"&": [_TCP_FLAGS, ["syn", "ack"]]}, "syn", "!=")
    yield [_match(_field("tcp", "sport"), 179), opening, _ACCEPT]
    yield [_one_of(_field("udp", "dport"), 3784, 3785, 4784, REFLECTOR_PORT, SENDER_PORT), _ACCEPT]


def _echo(receiving: Iterable[str]) -> Iterator[list[Json]]:
    limit: Json = {"limit": {"rate": ECHO_PER_SECOND, "burst": ECHO_BURST, "per": "second", "inv": True}}
    for meta in receiving:
        for protocol in ("icmp", "icmpv6"):
            too_many: Json = {"set": {"op": "update", "elem": _meta(meta), "set": "@echo", "stmt": [limit]}}
            within = [_match(_meta(meta), "@links")]
            yield [*within, _one_of(_field(protocol, "type"), "echo-request"), too_many, _goto("refused")]
    yield [_match(_field("ip6", "saddr"), {"prefix": {"addr": "fe80::", "len": 10}}), _ACCEPT]
    for meta in receiving:
        yield [_vmap(meta, "from")]
    yield [_ACCEPT]


def _counted_drop(receiving: Iterable[str], counter: str) -> Iterator[list[Json]]:
    """Dropped, and counted at the link's element."""
    for meta in receiving:
        yield [_match(_meta(meta), f"@{counter}"), _DROP]
    yield [_DROP]


@functools.cache
def _from_gateway(name: str, versions: tuple[int, ...]) -> Chain:
    leaving = _meta("oifname")
    sources = {4: _field("ip", "saddr"), 6: _field("ip6", "saddr")}
    rules: list[list[Json]] = [
        [_match(leaving, "@isolated"), _match(leaving, f"@{reach_set(name)}", "!="), _goto("foreign")],
        *([_match(sources[version], f"@{sources_set(name, version)}"), _RETURN] for version in versions),
        [_goto("unlisted")],
    ]
    return _chain("", rules)


@functools.cache
def _clamp(name: str) -> Chain:
    mtu = int(name.removeprefix("mss-"))
    size: Json = {"tcp option": {"name": "maxseg", "field": "size"}}
    # The headers without options: RFC 9293, section 3.7.1. No link with IPv6 has less than 1280 bytes.
    sizes = (("ipv4", max(mtu, 576) - 40), ("ipv6", max(mtu, 1280) - 60))
    return _chain(
        "",
        [[_match(_meta("nfproto"), family), {"mangle": {"key": size, "value": value}}] for family, value in sizes],
    )


def _chain(hook: str, rules: Iterable[list[Json]]) -> Chain:
    texts = [json.dumps(rule) for rule in rules]
    return Chain(hook, tuple(NftRule(MARK + hashlib.sha256(text.encode()).hexdigest()[:12], text) for text in texts))
