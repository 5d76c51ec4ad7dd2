"""Reading `show running-config`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.bgp.config import FrrConfig, Line, mask, parse_lines, render_lines

RUNNING = """Building configuration...

Current configuration:
!
frr version 8.4.4
hostname edge
log file /var/log/frr/frr.log
!
interface eth0
 description to the office ! not a comment
 ip ospf area 0
exit
!
vrf red
 ip route 198.51.100.0/24 Null0
exit-vrf
!
key chain office
 key 1
  key-string hush
 exit
exit
!
router bgp 65010
 bgp router-id 10.255.0.1
 neighbor 10.0.0.1 remote-as 64512
 neighbor 10.0.0.1 password s3cret
 !
 address-family ipv4 unicast
  network 192.0.2.0/24
  neighbor 10.0.0.1 route-map dcedge-prod-a-v4-in in
 exit-address-family
 !
 address-family l2vpn evpn
  advertise-all-vni
  vni 100
   rd 10.0.0.1:1
  exit-vni
 exit-address-family
exit
!
router bgp 65010 vrf red
 neighbor 10.0.0.1 remote-as 64513
exit
!
bfd
 profile dcedge-1000-3
  transmit-interval 1000
 exit
 !
 peer 10.9.9.9
  no shutdown
 exit
 !
exit
!
route-map dcedge-origin permit 10
exit
!
end
"""


def test_each_line_knows_the_contexts_it_stands_in() -> None:
    lines = FrrConfig.parse(RUNNING).lines
    family = ("router bgp 65010", "address-family ipv4 unicast")
    assert Line(family, "network 192.0.2.0/24") in lines
    assert Line(("router bgp 65010 vrf red",), "neighbor 10.0.0.1 remote-as 64513") in lines
    assert Line(("bfd", "profile dcedge-1000-3"), "transmit-interval 1000") in lines
    assert Line((), "route-map dcedge-origin permit 10") in lines
    assert Line(("key chain office", "key 1"), "key-string hush") in lines
    assert Line(("router bgp 65010", "address-family l2vpn evpn", "vni 100"), "rd 10.0.0.1:1") in lines


def test_what_closes_a_context_is_no_line() -> None:
    texts = {line.text for line in FrrConfig.parse(RUNNING).lines}
    assert not texts & {"exit", "end", "exit-vrf", "exit-address-family", "exit-vni", "!", ""}


def test_what_was_read_can_be_written_and_read_again() -> None:
    lines = parse_lines(RUNNING)
    assert set(parse_lines(render_lines(lines))) == set(lines)


def test_a_secret_never_shows_in_what_people_see_of_a_line() -> None:
    config = FrrConfig.parse(RUNNING)
    shown = "".join([repr(config), *map(str, config.lines)])
    assert "s3cret" not in shown
    assert "hush" not in shown
    assert "neighbor 10.0.0.1 password ***" in shown


def test_masking_keeps_everything_else() -> None:
    assert mask("a\n neighbor 10.0.0.1 password x y\nb") == "a\n neighbor 10.0.0.1 password ***\nb"
    assert mask("enable password 8 xARsq") == "enable password 8 ***"


@given(st.text(alphabet=st.sampled_from("ab!\n\t\x00\r é|"), max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for line in parse_lines(text):
        assert "\n" not in line.text
        assert line.text.strip(" ") == line.text != ""


@pytest.mark.parametrize(
    ("opener", "meant"),
    [
        ("router bgp 65010 as-notation dot", "router bgp 65010"),
        ("router bgp 1.4464 as-notation dot+", "router bgp 70000"),
        ("router bgp 0.65010", "router bgp 65010"),
        ("router bgp 65010 vrf red as-notation plain", "router bgp 65010 vrf red"),
        ("router bgp 65010 view looking-glass", "router bgp 65010 view looking-glass"),
        ("router bgp 65010 vrf red", "router bgp 65010 vrf red"),
    ],
)
def test_however_an_instance_is_shown_it_is_the_same_instance(opener: str, meant: str) -> None:
    shown = f"{opener}\n bgp router-id 10.0.0.1\n !\n address-family ipv4 unicast\n  network 10.0.0.0/8\n"
    context = (meant, "address-family ipv4 unicast")
    assert FrrConfig.parse(shown) == FrrConfig.of(
        [
            Line((), meant),
            Line((meant,), "bgp router-id 10.0.0.1"),
            Line((meant,), context[1]),
            Line(context, "network 10.0.0.0/8"),
        ]
    )
