"""Reading `show running-config`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.frr.config import ConfigLine, FrrConfig, held_secrets, mask, parse_lines, render_lines
from dcedge.logging.masking import SecretValues, hide

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
    assert ConfigLine(family, "network 192.0.2.0/24") in lines
    assert ConfigLine(("router bgp 65010 vrf red",), "neighbor 10.0.0.1 remote-as 64513") in lines
    assert ConfigLine(("bfd", "profile dcedge-1000-3"), "transmit-interval 1000") in lines
    assert ConfigLine((), "route-map dcedge-origin permit 10") in lines
    assert ConfigLine(("key chain office", "key 1"), "key-string hush") in lines
    assert ConfigLine(("router bgp 65010", "address-family l2vpn evpn", "vni 100"), "rd 10.0.0.1:1") in lines


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
    for plain in (
        "ip ospf authentication message-digest",
        "ipv6 ospf6 authentication keychain office",
        "ip rip authentication key-chain office",
        "ip authentication key-chain eigrp 1 office",
        "key chain office",
        "no neighbor 10.0.0.1 password",
        "username alice nopassword",
        "set community 65010:1",
    ):
        assert mask(f" {plain}\n exit") == f" {plain}\n exit"


# Every line of FRR's, 8.4 to 10.7, that has a secret in it, `@`; none of them may be known otherwise.
TELLING = (
    "password @",
    "password 8 @",
    "enable password @",
    "enable password 8 @",
    "  key-string @",
    " neighbor 10.0.0.1 password @",
    " no neighbor 10.0.0.1 password @",
    " neighbor clouds password @",
    "neighbor 10.0.0.1 password @",
    " msdp peer 10.0.0.1 password @",
    " isis password md5 @",
    " isis password clear @",
    " openfabric password md5 @",
    " area-password clear @",
    " area-password md5 @ authenticate snp validate",
    " domain-password clear @ authenticate snp send-only",
    " domain-password md5 @",
    " ip ospf authentication-key @",
    " ip ospf authentication-key @ 10.0.0.1",
    " ip ospf message-digest-key 1 md5 @",
    " ip ospf message-digest-key 255 md5 @ 10.0.0.1",
    " area 1 virtual-link 10.0.0.1 authentication-key @",
    " area 1 virtual-link 10.0.0.1 message-digest-key 1 md5 @",
    " area 0.0.0.1 virtual-link 10.0.0.1 authentication message-digest message-digest-key 1 md5 @",
    " ipv6 ospf6 authentication key-id 1 hash-algo md5 key @",
    " ipv6 ospf6 authentication key-id 65535 hash-algo hmac-sha-512 key @",
    " ip rip authentication string @",
    " ip nhrp authentication @",
    " ipv6 nhrp authentication @",
    "  tcp-md5-auth @",
    "RIP:   family 0xFFFF type 2 auth string: @",
)


@pytest.mark.parametrize("line", TELLING)
def test_a_secret_is_masked_by_the_words_before_it(line: str) -> None:
    text = f"a\n{line}\nb".replace("@", "hunter2")
    assert "hunter2" not in mask(text)
    assert mask(text) == mask(mask(text))
    assert mask(text).startswith(f"a\n{line.partition('@')[0]}***")
    assert mask(text).endswith("\nb")


@pytest.mark.parametrize("line", TELLING)
def test_what_a_configuration_has_for_a_secret_is_hidden_from_then_on(line: str) -> None:
    held = held_secrets(f"!\n{line}\n!".replace("@", "hunter2"))
    assert [one.value for one in held] == ["hunter2"]
    assert hide("% Unknown command: nter2 of 10.0.0.1, validate") == "% Unknown command: *** of 10.0.0.1, validate"


def test_what_runs_keeps_its_secrets_hidden_for_as_long_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SecretValues(past_max=0)
    monkeypatch.setattr("dcedge.logging.masking._known", known)
    before = FrrConfig.parse(RUNNING)
    running = before.merged(before.context("bfd"))
    del before
    known.hold("another")
    assert hide("it is s3cret") == "it is ***"
    del running
    known.hold("another")
    assert hide("it is s3cret") == "it is s3cret"


def test_a_line_of_which_the_words_before_the_secret_are_cut_off_is_masked_too() -> None:
    FrrConfig.parse(RUNNING)
    assert mask("line 9: % Unknown command: sword s3cret") == "line 9: % Unknown command: sword ***"


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
            ConfigLine((), meant),
            ConfigLine((meant,), "bgp router-id 10.0.0.1"),
            ConfigLine((meant,), context[1]),
            ConfigLine(context, "network 10.0.0.0/8"),
        ]
    )
