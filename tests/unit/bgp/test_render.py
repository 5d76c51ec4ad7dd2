"""From the order to FRR's lines: the policy that a user asked for, in FRR's words."""

from __future__ import annotations

import pytest

from dcedge.frr.blocks import FrrRenderError
from dcedge.frr.communities import canonical_communities, community_value
from dcedge.frr.config import ConfigLine, FrrConfig
from dcedge.frr.policy import numbered
from dcedge.order.field_types import Community
from tests.unit.bgp.orders import Derived, derived, keyed, pair, vi

IN_V4 = "ip prefix-list dcedge-prod-v4-in seq "


def entries(order: Derived, name: str) -> list[str]:
    """A prefix-list's entries in the order in which FRR asks them."""
    found = [
        line.text.split(f" {name} seq ", 1)[1]
        for block in order.blocks.values()
        for line in block.lines
        if f" {name} seq " in line.text
    ]
    return [entry.split(" ", 1)[1] for entry in sorted(found, key=lambda entry: int(entry.split(" ")[0]))]


def session_lines(order: Derived, peer: str) -> set[str]:
    return {text.removeprefix(f"neighbor {peer} ") for text in order.texts if text.startswith(f"neighbor {peer} ")}


def test_a_session_has_what_the_order_and_the_profile_say() -> None:
    order = derived({"prod-a": vi(101, bgp=keyed(bfd={"interval": "1s", "multiplier": 3}))}, provider="otc")
    lines = session_lines(order, "10.255.101.1")
    assert {
        "remote-as 64512",
        "description dcedge:prod-a",
        "password s3cret",
        "timers 30 90",
        "bfd",
        "bfd profile dcedge-1000-3",
        "maximum-prefix-out 100",
        "prefix-list dcedge-prod-v4-out out",
        "route-map dcedge-prod-v4-in-200 in",
        "activate",
    } <= lines
    assert not any(line.startswith(("ebgp-multihop", "ttl-security", "shutdown", "local-as")) for line in lines)


def test_nothing_is_set_where_nothing_is_ordered() -> None:
    assert derived({"prod-a": vi(101, static=("10.20.0.0/16",))}).blocks == {}
    assert derived({}).blocks == {}


def test_an_ipv6_session_is_active_in_its_own_family_only() -> None:
    order = derived({"prod-a": vi(101, addresses=(pair(101, 6),))})
    lines = {line for block in order.blocks.values() for line in block.lines}
    router = "router bgp 65010"
    assert ConfigLine((router, "address-family ipv6 unicast"), "neighbor 2001:db8:101::1 activate") in lines
    assert ConfigLine((router, "address-family ipv4 unicast"), "no neighbor 2001:db8:101::1 activate") in lines
    assert "no bgp default ipv4-unicast" not in order.texts  # the operator's neighbours would lose their family


def test_multihop_only_where_it_is_more_than_one_and_ttl_security_only_where_ordered() -> None:
    assert "ebgp-multihop 4" in session_lines(derived({"a": vi(1, bgp={"multihop": 4})}), "10.255.1.1")
    assert "ttl-security hops 1" in session_lines(derived({"a": vi(1, bgp={"ttl_security": True})}), "10.255.1.1")


def test_bfd_over_several_hops_takes_any_ttl() -> None:
    order = derived({"a": vi(1, bgp={"multihop": 4, "bfd": True}), "b": vi(2, bgp={"bfd": True})})
    assert "ebgp-multihop 254" in session_lines(order, "10.255.1.1")  # FRR then takes a TTL of 2 and more
    assert not any(line.startswith("ebgp-multihop") for line in session_lines(order, "10.255.2.1"))


def test_graceful_restart_is_for_those_who_ordered_it_and_never_beside_bfd() -> None:
    order = derived({"a": vi(1, bgp={"graceful_restart": True}), "b": vi(2, bgp={"bfd": True}), "c": vi(3)})
    said = {
        peer: {line for line in session_lines(order, peer) if line.startswith("graceful-restart")}
        for peer in ("10.255.1.1", "10.255.2.1", "10.255.3.1")
    }
    assert said == {
        "10.255.1.1": {"graceful-restart"},
        "10.255.2.1": {"graceful-restart-disable"},
        "10.255.3.1": set(),
    }
    assert "bgp graceful-restart preserve-fw-state" in order.texts
    assert "bgp graceful-restart preserve-fw-state" not in derived({"c": vi(3)}).texts


def test_an_asn_of_its_own_replaces_the_routers_towards_that_cloud() -> None:
    order = derived({"a": vi(1, preference="backup", bgp={"customer_asn": 4_200_000_001})})
    assert "local-as 4200000001 no-prepend replace-as" in session_lines(order, "10.255.1.1")
    assert "set as-path prepend 4200000001 4200000001 4200000001" in order.texts


def test_what_may_come_in() -> None:
    order = derived(
        {"a": vi(1, gateway="g")},
        provider="otc",
        gateways={"g": {"vpc": "v", "asn": 1, "accept": ("10.20.0.0/16", {"prefix": "10.0.0.0/8", "le": 24})}},
    )
    rules = entries(order, "dcedge-g-v4-in")
    assert rules[-3:] == ["permit 10.20.0.0/16", "permit 10.0.0.0/8 le 24", "deny any"]
    assert set(rules[:4]) == {
        "deny 100.64.0.0/10 le 32",
        "deny 127.0.0.0/8 le 32",
        "deny 169.254.0.0/16 le 32",
        "deny 224.0.0.0/3 le 32",
    }
    assert "deny 192.0.2.0/24 le 32" in rules


def test_a_part_of_our_own_range_that_is_accepted_by_name_comes_in() -> None:
    order = derived(
        {"a": vi(1, gateway="g")},
        gateways={"g": {"vpc": "v", "asn": 1, "accept": ("10.20.0.0/16",), "advertise": ("10.0.0.0/8",)}},
        advertise=(),
    )
    assert entries(order, "dcedge-g-v4-in") == ["permit 10.20.0.0/16", "deny 10.0.0.0/8 le 32", "deny any"]


def test_any_is_everything_but_a_default_route_and_our_own() -> None:
    order = derived({"a": vi(1, gateway="g")}, gateways={"g": {"vpc": "v", "asn": 1, "accept": "any"}})
    assert entries(order, "dcedge-g-v4-in") == [
        "deny 192.0.2.0/24 le 32",
        "deny 0.0.0.0/0",
        "permit 0.0.0.0/0 le 32",
        "deny any",
    ]
    assert "maximum-prefix 1000 restart 5" in session_lines(order, "10.255.1.1")


def test_a_list_of_nothing_denies_all() -> None:
    order = derived({"a": vi(1)}, advertise=())
    assert entries(order, "dcedge-prod-v4-out") == ["deny any"]


def test_only_our_own_prefixes_go_out_and_only_while_they_are_routed() -> None:
    order = derived({"a": vi(1)})
    assert entries(order, "dcedge-prod-v4-out") == ["permit 192.0.2.0/24", "deny any"]
    assert "match as-path dcedge-own" in order.texts  # ^$: what a cloud announced never goes to another
    assert "network 192.0.2.0/24 route-map dcedge-origin" in order.texts
    assert "no bgp network import-check" not in order.texts


def test_one_prefix_more_is_one_line_more() -> None:
    few = tuple(f"10.{n}.0.0/16" for n in range(1, 40))
    before = derived({"a": vi(1)}, advertise=few).texts
    after = derived({"a": vi(1)}, advertise=("10.0.0.0/16", *few)).texts
    added = [text for text in after - before if "prefix-list dcedge-prod-v4-out" in text]
    assert len(added) == 1
    assert not [text for text in before - after if "prefix-list dcedge-prod-v4-out" in text]


def test_entries_that_would_have_one_number_get_two() -> None:
    prefixes = [entry.prefix for entry in derived({"a": vi(1)}).interfaces[0].accept or ()]
    rules = numbered([(1, "permit", prefixes[0], le) for le in range(16, 33)])
    assert len({rule.seq for rule in rules}) == 17


@pytest.mark.parametrize(
    ("preference", "inbound", "prepend", "med"),
    [("primary", 200, 0, 0), ("equal", 150, 0, 0), ("backup", 110, 3, 100)],
)
def test_preference_in_both_directions(preference: str, inbound: int, prepend: int, med: int) -> None:
    texts = derived({"a": vi(1, preference=preference)}).texts
    assert f"set local-preference {inbound}" in texts
    assert f"set metric {med}" in texts
    assert ("set as-path prepend" + " 65010" * prepend in texts) == bool(prepend)


def test_aws_hears_the_preference_by_its_communities() -> None:
    def said(preference: str) -> set[str]:
        order = derived({"a": vi(1, preference=preference, bgp={"communities": ("65010:5",)})}, provider="aws")
        return {text for text in order.texts if text.startswith("set community")}

    assert said("primary") == {"set community 7224:7300 65010:5"}
    assert said("equal") == {"set community 7224:7200 65010:5"}
    assert said("backup") == {"set community 7224:7100 65010:5"}


def test_an_ordered_med_beats_the_profiles() -> None:
    assert "set metric 7" in derived({"a": vi(1, preference="backup", bgp={"med": 7})}).texts
    assert "set metric 7" in derived({"a": vi(1, bgp={"med": 7})}, provider="aws").texts


def test_a_drained_interface_is_the_last_choice_in_both_directions() -> None:
    texts = derived({"a": vi(1)}, drained=frozenset({"a"})).texts
    assert {"set local-preference 0", "set community graceful-shutdown", "set metric 1000"} <= texts
    assert "set as-path prepend 65010 65010 65010 65010 65010" in texts


def test_communities_are_written_as_frr_prints_them() -> None:
    values = map(community_value, ["no-export", "65535:666", "64512:12", "0:0", "64512:12", "100:1", "65535:0"])
    assert canonical_communities(values) == [
        "0:0",
        "100:1",
        "64512:12",
        "graceful-shutdown",
        "blackhole",
        "no-export",
    ]


def test_the_community_that_frr_once_called_internet_is_the_same_by_either_name() -> None:
    assert community_value("internet") == community_value("0:0") == 0
    context = ("route-map dcedge-out-1 permit 10",)
    old, new = (FrrConfig.parse(f"{context[0]}\n set community {name} 100:1\nexit\n") for name in ("internet", "0:0"))
    assert old == new
    assert ConfigLine(context, "set community 0:0 100:1") in old


@pytest.mark.parametrize("bad", ["65536:1", "1:65536", "1", "", "a:b", "1:2\nno router bgp"])
def test_what_is_no_community_is_refused(bad: Community) -> None:
    with pytest.raises(FrrRenderError):
        community_value(bad)


@pytest.mark.parametrize("bad", ["", "two words", "line\nbreak", "x" * 81, "tab\t", "é", "nul\0", "\x1b[31m"])
def test_a_password_that_frr_cannot_hold_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(FrrRenderError, match="password of virtual interface a ") as refused:
        _ = derived({"a": vi(1, bgp=keyed())}, secret=bad).blocks
    assert len(bad) < 3 or bad not in str(refused.value)


def test_a_session_without_its_secret_is_shut_not_run_open() -> None:
    order = derived({"a": vi(1, bgp=keyed())})
    lines = session_lines(Derived(order.router, order.interfaces, {}), "10.255.1.1")
    assert "shutdown" in lines
    assert not any(line.startswith("password") for line in lines)


def test_admin_down_shuts_the_session_and_keeps_the_rest() -> None:
    lines = session_lines(derived({"a": vi(1, admin="down")}), "10.255.1.1")
    assert {"shutdown", "remote-as 64512"} <= lines


def test_a_gateways_vrf_has_an_instance_of_its_own() -> None:
    order = derived(
        {"a": vi(1), "b": vi(2, gateway="red")},
        gateways={"red": {"vpc": "v", "asn": 64513, "accept": ("10.9.0.0/16",), "vrf": "red"}},
    )
    lines = {line for block in order.blocks.values() for line in block.lines}
    assert ConfigLine(("router bgp 65010 vrf red",), "neighbor 10.255.2.1 remote-as 64513") in lines
    assert ConfigLine(("router bgp 65010",), "neighbor 10.255.1.1 remote-as 64512") in lines
    assert ConfigLine(("router bgp 65010 vrf red",), "bgp router-id 10.255.0.1") in lines


def test_interfaces_that_need_the_same_share_their_route_maps() -> None:
    equal = {"a": vi(1), "b": vi(2), "c": vi(3, preference="backup")}
    maps = {text for text in derived(equal).texts if text.startswith("route-map dcedge-") and "origin" not in text}
    assert {text for text in maps if "-in-" in text} == {
        "route-map dcedge-prod-v4-in-200 permit 10",
        "route-map dcedge-prod-v4-in-110 permit 10",
    }
    assert len(maps) == 4
    (shared,) = [block for block in derived(equal).blocks.values() if "dcedge-prod-v4-in-200" in block.key.name]
    assert shared.affects == ("a", "b")


def test_no_line_belongs_to_two_blocks() -> None:
    order = derived({"a": vi(1, bgp=keyed(bfd=True)), "b": vi(2, connection="fra-2", bgp=keyed(bfd=True))})
    lines = [line for block in order.blocks.values() for line in block.lines]
    assert len(lines) == len(set(lines))


def test_equal_paths_with_different_as_paths_are_balanced() -> None:
    relax = "bgp bestpath as-path multipath-relax"
    same = {"a": vi(1, preference="equal"), "b": vi(2, preference="equal")}
    assert relax not in derived(same).texts
    assert relax in derived(same | {"b": vi(2, preference="equal", bgp={"cloud_asn": 64999})}).texts
