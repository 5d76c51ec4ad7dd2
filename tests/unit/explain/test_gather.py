"""What is gathered before anything is judged."""

from __future__ import annotations

from dcedge.explain.gather import dropping_chains


def chain(table: str, name: str, hook: str, policy: str = "accept") -> dict[str, object]:
    return {"chain": {"family": "inet", "table": table, "name": name, "hook": hook, "policy": policy, "prio": 0}}


def rule(table: str, name: str, *expressions: dict[str, object]) -> dict[str, object]:
    return {"rule": {"family": "inet", "table": table, "chain": name, "expr": list(expressions)}}


def test_the_chains_of_others_that_drop_are_named_and_ours_are_not() -> None:
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "filter"}},
            chain("filter", "forward", "forward", "drop"),
            chain("filter", "input", "input"),
            rule("filter", "input", {"match": {}}, {"drop": None}),
            rule("filter", "input", {"match": {}}, {"reject": None}),
            chain("filter", "output", "output"),
            rule("filter", "output", {"counter": {}}, {"accept": None}),
            {"chain": {"family": "inet", "table": "filter", "name": "helper"}},
            rule("filter", "helper", {"drop": None}),
            chain("dcedge", "guard", "input", "drop"),
        ]
    }
    assert list(dropping_chains(listing)) == [
        "nft table inet filter, chain forward (hook forward, policy drop)",
        "nft table inet filter, chain input (hook input, 2 dropping rules)",
    ]


def test_no_listing_is_no_chain() -> None:
    assert list(dropping_chains({})) == []
    assert list(dropping_chains(None)) == []
