"""Which sessions need a key, and what the kernel says of keys."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from dcedge.frr.delta import delta
from dcedge.frr.md5 import KeyedPeer, keyed_peers, shut_down_unsafe
from dcedge.frr.md5 import _keys as keys_in
from dcedge.order.credentials import Secret
from dcedge.plan.diff import plan
from tests.unit.bgp.orders import derived, keyed, pair, vi


def test_the_sessions_that_need_a_key_are_those_with_a_password() -> None:
    order = derived(
        {
            "a": vi(1, addresses=(pair(1), pair(1, 6)), bgp=keyed()),
            "b": vi(2),
            "c": vi(3, gateway="red", bgp=keyed()),
        },
        gateways={"red": {"vpc": "v", "asn": 64513, "accept": "any", "vrf": "red"}},
    )
    assert keyed_peers(order.blocks) == {
        KeyedPeer("a", "router bgp 65010", None, ip_address("10.255.1.1")): Secret("s3cret"),
        KeyedPeer("a", "router bgp 65010", None, ip_address("2001:db8:1::1")): Secret("s3cret"),
        KeyedPeer("c", "router bgp 65010 vrf red", "red", ip_address("10.255.3.1")): Secret("s3cret"),
    }


def test_only_the_session_without_its_key_is_held_shut() -> None:
    order = derived({"a": vi(1, addresses=(pair(1), pair(1, 6)), bgp=keyed()), "b": vi(2, bgp=keyed())})
    unsafe = KeyedPeer("a", "router bgp 65010", None, ip_address("2001:db8:1::1"))
    gone = KeyedPeer("b", "router bgp 65010", None, ip_address("10.255.9.1"))  # b has another peer by now
    (operation,) = plan(shut_down_unsafe(order.blocks, {unsafe, gone}), order.blocks).operations
    assert delta([operation]) == "router bgp 65010\n neighbor 2001:db8:1::1 shutdown\nexit\n"
    assert shut_down_unsafe(order.blocks, ()) == order.blocks


def test_more_keys_than_an_attributes_length_can_tell_are_all_read() -> None:
    keys = {ip_address("10.0.0.0") + n: b"key%d" % n for n in range(2000)}
    payload = b"".join(
        struct.pack("=BBH", 2, 32, len(key)) + peer.packed + bytes(12) + key.ljust(80, b"\0")
        for peer, key in keys.items()
    )
    other = struct.pack("=HHI", 8, 15, 7)
    message = bytes(72) + other + struct.pack("=HH", (len(payload) + 4) & 0xFFFF, 18) + payload
    assert dict(keys_in(message, 4)) == keys
