"""What nft lists of our table, read back as a value; and that value as resources."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

from dcedge.firewall.nft_table import MARK, OWNER_CHAIN, Chain, Json, NftRule, SetHeader, SetKey, Table
from dcedge.firewall.objects import (
    TABLE_KEY,
    Element,
    FirewallTable,
    GatewaySources,
    Guard,
    gateway_key,
    guard_key,
)
from dcedge.firewall.ranges import Range, common, merged, minus, of_prefix
from dcedge.firewall.ruleset import SHARED_SETS, render, sources_set
from dcedge.plan.resource import Key, Resource, State


def read_table(listing: Json) -> Table:
    """The table in what `nft -j list table` printed."""
    table = Table()
    rules: dict[str, list[NftRule]] = {}
    for object_type, body in _objects(listing):
        name = str(body.get("name", ""))
        if object_type == "chain":
            hook = f"{body['type']} {body['hook']} {body['prio']} {body['policy']}" if "hook" in body else ""
            table.chains[name] = Chain(hook)
        elif object_type == "rule":
            # Without our mark the place itself is what it differs by.
            mark = str(body.get("comment", ""))
            foreign = f"handle {body.get('handle')}"
            rules.setdefault(str(body["chain"]), []).append(NftRule(mark if mark.startswith(MARK) else foreign))
        elif object_type in {"set", "map"}:
            header = _header(body)
            table.add_set(name, header)
            if not header.timeout:
                table.elements[name].update(_elements(body, header))
        elif object_type not in {"metainfo", "table"}:
            table.headers[f"{object_type} {name}"] = SetHeader((object_type,))
            table.elements[f"{object_type} {name}"] = {}
    for name, marked in rules.items():
        chain = table.chains.get(name, Chain())
        table.chains[name] = Chain(chain.hook, tuple(marked))
    return table


def is_ours(table: Table) -> bool:
    """Whether the table bears our marks."""
    return OWNER_CHAIN in table.chains or any(
        rule.mark.startswith(MARK) for chain in table.chains.values() for rule in chain.rules
    )


def read_counts(listing: Json) -> Iterator[tuple[str, str, int, int]]:
    """Set, link, packets and bytes of each counted element in a listing."""
    for object_type, body in _objects(listing):
        entries = body.get("elem")
        if object_type != "set" or not isinstance(entries, list):
            continue
        for entry in entries:
            element = entry.get("elem") if isinstance(entry, dict) else None
            counter = element.get("counter") if isinstance(element, dict) else None
            if isinstance(element, dict) and isinstance(counter, dict):
                yield str(body["name"]), str(element["val"]), _number(counter["packets"]), _number(counter["bytes"])


def _number(value: Json) -> int:
    assert isinstance(value, int)
    return value


def _objects(listing: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    entries = listing.get("nftables") if isinstance(listing, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            for object_type, body in entry.items():
                if isinstance(body, dict):
                    yield object_type, body


def _header(body: dict[str, Json]) -> SetHeader:
    types, flags, statements = body.get("type"), body.get("flags") or [], body.get("stmt") or []
    flags = flags if isinstance(flags, list) else [flags]
    timeout = body.get("timeout")
    return SetHeader(
        tuple(str(one) for one in types) if isinstance(types, list) else (str(types),),
        str(body.get("map") or ""),
        interval="interval" in flags,
        counted=isinstance(statements, list) and any(isinstance(s, dict) and "counter" in s for s in statements),
        timeout=timeout if isinstance(timeout, int) else 0,
    )


def _elements(body: dict[str, Json], header: SetHeader) -> Iterator[tuple[SetKey, str]]:
    entries = body.get("elem")
    for entry in entries if isinstance(entries, list) else ():
        value, data = entry, ""
        if header.data and isinstance(entry, list):
            value, data = entry[0], _target(entry[1])
        if isinstance(value, dict) and isinstance(value.get("elem"), dict):
            inner = value["elem"]
            value = inner["val"] if isinstance(inner, dict) else None
        if header.interval and len(header.types) == 1:
            yield _range(value), data
        elif isinstance(value, dict) and isinstance(value.get("concat"), list):
            parts = value["concat"]
            yield tuple(str(part) for part in parts) if isinstance(parts, list) else (), data
        else:
            yield (str(value),), data


def _target(verdict: Json) -> str:
    jump = verdict.get("jump") if isinstance(verdict, dict) else None
    return str(jump["target"]) if isinstance(jump, dict) else str(verdict)


def _range(value: Json) -> Range:
    if isinstance(value, dict):
        prefix, ends = value.get("prefix"), value.get("range")
        if isinstance(prefix, dict):
            return of_prefix(ip_network(f"{prefix['addr']}/{prefix['len']}"))
        if isinstance(ends, list):
            first, last = ip_address(str(ends[0])), ip_address(str(ends[1]))
            return Range(first.version, int(first), int(last))
    address = ip_address(str(value))
    return Range(address.version, int(address), int(address))


def resources_of(table: Table, intended: State) -> dict[Key, Resource]:
    """The table as resources. Where one is as wanted, it is the very object that is wanted.

    A subnet in a gateway's sources belongs to the link that has it, as far as the intent (or, for a link that it does
    not have, the peer's address) tells; the rest is what the gateway accepts.
    """
    by_link: dict[str, list[Element]] = {}
    for name, held in table.elements.items():
        if name not in SHARED_SETS and not name.startswith("to-"):
            continue
        for key, data in held.items():
            if not isinstance(key, Range):
                by_link.setdefault(key[0], []).append(Element(name, " ".join(key[1:]), data))
    guards: dict[str | None, list[Guard]] = {}
    state: dict[Key, Resource] = {}
    for link, found in by_link.items():
        meant = intended.get(guard_key(link))
        known = meant if isinstance(meant, Guard) else None
        gateway = next((e.data.removeprefix("from-") for e in found if e.set == "from"), None)
        elements = tuple(sorted(found))
        guard = Guard(link, gateway, elements, known.subnets if known else (), known.affects if known else ())
        guards.setdefault(gateway, []).append(known if known is not None and known == guard else guard)
    for name in [name.removeprefix("from-") for name in table.chains if name.startswith("from-")]:
        meant = intended.get(gateway_key(name))
        sources = meant if isinstance(meant, GatewaySources) else GatewaySources(name, (), ())
        sources, guards[name] = _attributed(table, sources, guards.get(name, []), intended)
        state[sources.key] = sources
    state.update((guard.key, guard) for group in guards.values() for guard in group)
    base = _base(table, state, intended)
    return {base.key: base, **state}


def _attributed(
    table: Table, meant: GatewaySources, guards: list[Guard], intended: State
) -> tuple[GatewaySources, list[Guard]]:
    """A gateway's sources and its links' guards, corrected to what the table lets in."""
    names = [sources_set(meant.name, version) for version in (4, 6)]
    there = merged(key for name in names for key in table.elements.get(name, {}) if isinstance(key, Range))
    if there == merged((*meant.sources, *(one for guard in guards for one in guard.subnets))):
        return meant, guards
    subnets = {guard.link: common(guard.subnets, there) for guard in guards}
    left = minus(there, (one for ranges in subnets.values() for one in ranges))
    extra = minus(left, meant.sources)
    for guard in guards:
        if guard.key not in intended:
            peers = [_range(e.rest) for e in guard.elements if e.set in {"peers4", "peers6"}]
            subnets[guard.link] = merged(one for peer in peers for one in extra if common((peer,), (one,)))
    mine = minus(left, (one for guard in guards if guard.key not in intended for one in subnets[guard.link]))
    sources = merged((*mine, *common(meant.sources, there)))
    return (
        meant if sources == meant.sources else replace(meant, sources=sources),
        [g if subnets[g.link] == g.subnets else replace(g, subnets=subnets[g.link]) for g in guards],
    )


def _base(table: Table, state: State, intended: State) -> FirewallTable:
    meant = intended.get(TABLE_KEY)
    known = meant if isinstance(meant, FirewallTable) else FirewallTable(False, ())
    problems: dict[bool, tuple[str, ...]] = {}
    for vrf in (known.vrf, not known.vrf):
        problems[vrf] = tuple(_damage(table, table_of(state, vrf=vrf)))
        if not problems[vrf]:
            return meant if vrf == known.vrf and known is meant else FirewallTable(vrf, known.affects)
    return FirewallTable(known.vrf, known.affects, problems[known.vrf])


def _damage(table: Table, expected: Table) -> Iterator[str]:
    for name in sorted(expected.chains.keys() | table.chains.keys()):
        mine, theirs = expected.chains.get(name), table.chains.get(name)
        if mine is None:
            yield f"chain {name} was added"
        elif theirs is None:
            yield f"chain {name} is gone"
        elif mine != theirs:
            yield f"chain {name} was changed"
    for name in sorted(expected.headers.keys() | table.headers.keys()):
        header, found = expected.headers.get(name), table.headers.get(name)
        if header is None:
            yield f"{name} was added"
        elif found is None:
            yield f"set {name} is gone"
        elif header != found:
            yield f"set {name} is of another type"
        elif expected.elements[name] != table.elements[name]:
            yield f"set {name} has unexpected elements"


def table_of(state: State, *, vrf: bool | None = None) -> Table:
    """The table that holds these resources; empty where the table itself is not among them."""
    base = state.get(TABLE_KEY)
    if vrf is None:
        if not isinstance(base, FirewallTable):
            return Table()
        vrf = base.vrf
    guards = [one for one in state.values() if isinstance(one, Guard)]
    return render(sources_of(state), guards, clamps_of(guards), vrf=vrf)


def sources_of(state: State, gateways: Collection[str] | None = None) -> dict[str, list[Range]]:
    """By virtual gateway (all, or these) what it may send from: what it accepts, and its links' subnets."""
    sources = {
        one.name: list(one.sources)
        for one in state.values()
        if isinstance(one, GatewaySources) and (gateways is None or one.name in gateways)
    }
    for one in state.values():
        if isinstance(one, Guard) and one.gateway in sources:
            sources[one.gateway] += one.subnets
    return sources


def clamps_of(guards: Iterable[Guard]) -> list[str]:
    """The clamp chains that these links use."""
    return sorted({e.data for guard in guards for e in guard.elements if e.set == "mss" and e.data})
