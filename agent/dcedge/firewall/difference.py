"""The commands that take nftables from one table to another. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from dcedge.firewall.nft_table import Chain, Command, Json, SetHeader, SetKey, Table
from dcedge.firewall.objects import TABLE_NAME
from dcedge.firewall.ranges import Range
from dcedge.firewall.ruleset import jump


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
        intended = after.elements[name]
        surplus = [key for key, data in present.items() if intended.get(key) != data or key not in intended]
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
    for name, intended in after.elements.items():
        present = before.elements.get(name, {})
        lacking = {key: data for key, data in intended.items() if key not in present or present[key] != data}
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
    chain_type, hook, priority, policy = chain.hook.split()
    return {"type": chain_type, "hook": hook, "prio": int(priority), "policy": policy}


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
    return [value, jump(data)] if data else value
