"""Orders that nobody would think of, for the tests that must hold for any order."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.unit.bgp.orders import Derived, derived, keyed, pair, vi

POOL: dict[str, list[dict[str, object]]] = {
    "a": [
        vi(1, bgp=keyed("a", bfd=False, graceful_restart=True)),
        vi(1, bgp=keyed("b", bfd=True, keepalive="5s", hold="15s")),
        vi(1, preference="backup", bgp={"multihop": 2, "bfd": {"interval": "1s", "multiplier": 5}}),
        vi(1, addresses=(pair(1), pair(1, 6)), bgp={"ttl_security": True, "communities": ("1:2",)}),
    ],
    "b": [
        vi(2, gateway="red", preference="equal", bgp={"allowas_in": 3}),
        vi(2, admin="down", bgp={"customer_asn": 65020}),
        vi(1, gateway="red"),
    ],
    "c": [vi(3, addresses=(pair(3, 6),), bgp={"med": 4}), vi(3, bgp={"cloud_asn": 99, "advertise_limit": 3})],
}


@st.composite
def orders(draw: st.DrawFn) -> Derived:
    """Any few of the pool's interfaces, under any few gateways' policies; two never share a peer in one VRF."""
    chosen = {name: draw(st.sampled_from([None, *variants])) for name, variants in POOL.items()}
    vrf = draw(st.sampled_from([None, "red"]))
    if chosen["a"] and chosen["b"] and chosen["b"]["vlan"] == 1 and vrf is None:
        chosen["b"] = None
    return derived(
        {name: variant for name, variant in chosen.items() if variant is not None},
        gateways={
            "red": {
                "vpc": "v",
                "asn": 64513,
                "vrf": vrf,
                "accept": draw(st.sampled_from(["any", ("10.9.0.0/16", {"prefix": "10.0.0.0/8", "le": 24})])),
                "advertise": draw(st.sampled_from([None, ("198.51.100.0/24",)])),
            }
        },
        provider=draw(st.sampled_from(["generic", "otc", "aws"])),
        secret=draw(st.sampled_from(["one", "two"])),
        drained=draw(st.sampled_from([frozenset(), frozenset({"a"})])),
    )
