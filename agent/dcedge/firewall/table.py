"""The nft table as a value: what it holds for a set of resources, and the commands from one such value to another.

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

The words of nft(8) and libnftables-json(5).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dcedge.firewall.objects import TABLE_NAME, Guard
from dcedge.firewall.ranges import Range, merged
from dcedge.probe.stamp import REFLECTOR_PORT, SENDER_PORT

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]
Command = dict[str, Json]

MARK = "dcedge:"  # every rule's comment begins so; the rest tells which rule it is
OWNER_CHAIN = "made-by-dcedge"  # no rule, no hook: says whose the table is
SPOOFED, ISOLATED, CONTROL_PLANE = COUNTERS = ("dropped-spoofed", "dropped-isolated", "dropped-control-plane")
ECHO_PER_SECOND, ECHO_BURST, ECHO_FORGET_SECONDS = 100, 200, 60  # echo requests to the router, each virtual interface

SetKey = tuple[str, ...] | Range


@dataclass(frozen=True, slots=True)
class SetHeader:
    """What a set (or, with `data`, a map) is made for."""

    types: tuple[str, ...]
    data: str = ""
    interval: bool = False
    counted: bool = False
    timeout: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's expressions as JSON. Observed, only the mark is known: nft's releases print one rule differently."""

    mark: str
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain: the hook that it is attached to, where it is one of those, and its rules."""

    hook: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(slots=True)
class Table:
    """Headers, chains and elements by name. The elements that packets add (`timeout`) are not counted among them."""

    headers: dict[str, SetHeader] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    elements: dict[str, dict[SetKey, str]] = field(default_factory=dict)

    def add_set(self, name: str, header: SetHeader) -> None:
        """Add an empty set."""
        self.headers[name] = header
        self.elements[name] = {}


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


def _jump(target: str) -> Json:
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
                [_match({"&": [_TCP_FLAGS, ["syn", "rst"]]}, "syn"), _jump("clamp")],
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
        yield [_match({"concat": [_meta(meta), _field("ip", "saddr")]}, "@peers4"), _jump("peer")]
        yield [_match({"concat": [_meta(meta), _field("ip6", "saddr")]}, "@peers6"), _jump("peer")]
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
    return Chain(hook, tuple(Rule(MARK + hashlib.sha256(text.encode()).hexdigest()[:12], text) for text in texts))


def same_make(before: Table, after: Table) -> bool:
    """Whether `after` can be had from `before` by changing elements and rules, every set and hook left as it is."""
    known = (*after.headers, "to-", "sources4-", "sources6-")
    return (
        all(before.headers.get(name, header) == header for name, header in after.headers.items())
        and all(name.startswith(known) for name in before.headers)
        and all(
            name not in before.chains or before.chains[name].hook == chain.hook for name, chain in after.chains.items()
        )
    )


def commands(before: Table, after: Table) -> list[Command]:
    """What takes `before` to `after` in one transaction; element by element where that can be, so counters live on.

    A table without any chain is none.
    """
    if not after.chains:
        return gone() if before.chains else []
    if before.chains and same_make(before, after):
        return [*_removals(before, after), *_additions(before, after)]
    return [*gone(), {"add": {"table": _OURS}}, *_additions(Table(), after)]


_OURS: Json = {"family": "inet", "name": TABLE_NAME}


def gone() -> list[Command]:
    """What removes the table, whether it is there or not."""
    return [{"add": {"table": _OURS}}, {"delete": {"table": _OURS}}]


def _removals(before: Table, after: Table) -> Iterator[Command]:
    for name, present in before.elements.items():
        if name not in after.headers:
            continue
        wanted = after.elements[name]
        surplus = [key for key, data in present.items() if wanted.get(key) != data or key not in wanted]
        if surplus:
            yield _element_command("delete", name, {key: present[key] for key in surplus})
    # A chain is emptied before the sets that its rules look into can go.
    lost = sorted(before.chains.keys() - after.chains.keys())
    changed = [n for n, c in after.chains.items() if n in before.chains and before.chains[n].rules != c.rules]
    for name in (*lost, *changed):
        yield {"flush": {"chain": _place(name)}}
    for name in lost:
        yield {"delete": {"chain": _place(name)}}
    for name in sorted(before.headers.keys() - after.headers.keys()):
        yield {"delete": {_kind(before.headers[name]): _place(name)}}


def _additions(before: Table, after: Table) -> Iterator[Command]:
    for name, chain in after.chains.items():
        if name not in before.chains:
            yield {"add": {"chain": {**_place(name), **_hook(chain)}}}
    for name, header in after.headers.items():
        if name not in before.headers:
            yield {"add": {_kind(header): {**_place(name), **_header(header)}}}
    for name, wanted in after.elements.items():
        present = before.elements.get(name, {})
        lacking = {key: data for key, data in wanted.items() if key not in present or present[key] != data}
        if lacking:
            yield _element_command("add", name, lacking)
    for name, chain in after.chains.items():
        if name not in before.chains or before.chains[name].rules != chain.rules:
            for rule in chain.rules:
                place: dict[str, Json] = {"family": "inet", "table": TABLE_NAME, "chain": name}
                yield {"add": {"rule": {**place, "comment": rule.mark, "expr": json.loads(rule.text)}}}


def _place(name: str) -> dict[str, Json]:
    return {"family": "inet", "table": TABLE_NAME, "name": name}


def _kind(header: SetHeader) -> str:
    return "map" if header.data else "set"


def _hook(chain: Chain) -> dict[str, Json]:
    if not chain.hook:
        return {}
    kind, hook, priority, policy = chain.hook.split()
    return {"type": kind, "hook": hook, "prio": int(priority), "policy": policy}


def _header(header: SetHeader) -> dict[str, Json]:
    types: Json = header.types[0] if len(header.types) == 1 else list(header.types)
    result: dict[str, Json] = {"type": types}
    if header.data:
        result["map"] = header.data
    if header.interval:
        result["flags"] = ["interval"]
    if header.counted:
        result["stmt"] = [{"counter": None}]
    if header.timeout:
        result |= {"flags": ["timeout"], "timeout": header.timeout, "size": 65535}
    return result


def _element_command(verb: str, name: str, elements: Mapping[SetKey, str]) -> Command:
    return {verb: {"element": {**_place(name), "elem": [_element(key, data) for key, data in elements.items()]}}}


def _element(key: SetKey, data: str) -> Json:
    if isinstance(key, Range):
        return {"range": list(key.ends)}
    value: Json = key[0] if len(key) == 1 else {"concat": list(key)}
    return [value, _jump(data)] if data else value
