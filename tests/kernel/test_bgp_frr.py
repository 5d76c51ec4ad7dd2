"""FRR's side against a real FRR: what is rendered is what FRR prints, and a change touches what it says."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings

from dcedge.errors import FrrUnavailableError
from dcedge.frr.config import ConfigLine, render_lines
from dcedge.frr.delta import delta
from dcedge.frr.feed import FrrRejectedError
from dcedge.frr.md5 import KeyedPeer, KeySearch, keyed_peers, look_for_keys, secure, shut_down_unsafe
from dcedge.frr.observe import observe_frr, remember, warnings
from dcedge.frr.state import SessionState
from dcedge.frr.vty import FrrClient
from dcedge.order.credentials import Secret
from dcedge.plan.diff import plan
from tests.lab import speaker
from tests.lab.frr import DAEMON_FOLDER, Frr, LabFrrError, lacks
from tests.lab.netns import NAMESPACES, enter
from tests.unit.bgp.generated import orders
from tests.unit.bgp.orders import Derived, derived, keyed, pair, vi

pytestmark = [pytest.mark.native, pytest.mark.frr]

T = TypeVar("T")

# What a run that was killed left behind is in no other's way.
EDGE, CLOUD = (f"dcfrr-{secrets.token_hex(3)}-{end}" for end in ("edge", "cloud"))
WAIT_SECONDS = 40.0
DEBIANS = Path("/etc/frr/frr.conf")
OPERATOR = """router bgp 65010
 bgp router-id 10.255.0.1
 neighbor 192.168.0.9 remote-as 65010
 neighbor 192.168.0.9 description office
 address-family ipv4 unicast
  network 198.18.0.0/15
 exit-address-family
exit
bfd
 profile office
  transmit-interval 700
 exit
exit
ip prefix-list office seq 5 permit 10.0.0.0/8
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def wait(missing: Callable[[], str | None], what: str) -> None:
    """Poll until `missing` says None; fail with what it said last."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (said := missing()) is not None:
        if time.monotonic() > deadline:
            pytest.fail(f"waited {WAIT_SECONDS:g} s for {what}; last: {said}")
        time.sleep(0.1)


@dataclass
class Edge:
    """An FRR, and the loop that brings it to an order: read, plan, write, read back."""

    frr: Frr
    client: FrrClient
    owned: frozenset[ConfigLine] = field(default=frozenset())

    def pending(self, order: Derived) -> list[str]:
        """What a plan would do, in words."""
        observed = observe_frr(self.client.running_config(), order.blocks, self.owned)
        return [f"{o.action} {o.key}: {o.describe()}" for o in plan(order.blocks, observed).operations]

    def apply(self, order: Derived) -> str:
        """Bring FRR there; returns what was written."""
        running = self.client.running_config()
        observed = observe_frr(running, order.blocks, self.owned)
        self.owned = remember(self.owned, running, order.blocks)
        text = delta(plan(order.blocks, observed).operations)
        self.client.apply(text)
        return text

    def session(self, peer: str, vrf: str = "default") -> SessionState:
        return next(s for s in self.client.sessions() if s.peer == ip_address(peer) and s.vrf == vrf)


@pytest.fixture
def namespaces() -> Iterator[ExitStack]:
    """An edge and a cloud with three untagged fibres: 10.255.N.0/30 and 2001:db8:N::/126, N = 1 to 3."""
    with ExitStack() as stack:
        for name in (EDGE, CLOUD):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        for n in (1, 2, 3):
            ip("-n", EDGE, "link", "add", f"e{n}", "type", "veth", "peer", "name", f"c{n}", "netns", CLOUD)
            for name, link, host in ((EDGE, f"e{n}", 2), (CLOUD, f"c{n}", 1)):
                ip("-n", name, "addr", "add", f"10.255.{n}.{host}/30", "dev", link)
                ip("-n", name, "addr", "add", f"2001:db8:{n}::{host}/126", "dev", link, "nodad")
                ip("-n", name, "link", "set", link, "up")
        yield stack


@pytest.fixture
def edge(namespaces: ExitStack) -> Edge:
    frr = namespaces.enter_context(Frr(EDGE, EDGE))
    client = FrrClient(EDGE)
    namespaces.callback(client.close)
    return Edge(frr, client)


@pytest.fixture
def cloud(namespaces: ExitStack) -> Frr:
    return namespaces.enter_context(Frr(CLOUD, CLOUD))


CLOUD_CONFIG = """
router bgp 64512
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.255.1.2 remote-as 65010
 neighbor 10.255.1.2 password s3cret
 neighbor 10.255.1.2 timers connect 1
 neighbor 10.255.2.2 remote-as 65010
 neighbor 10.255.2.2 timers connect 1
 neighbor 2001:db8:1::2 remote-as 65010
 neighbor 2001:db8:1::2 timers connect 1
 address-family ipv4 unicast
  network 10.20.0.0/16
  network 10.99.0.0/16
  network 192.0.2.128/25
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:20::/48
  neighbor 2001:db8:1::2 activate
 exit-address-family
exit
"""

EVERYTHING = derived(
    {
        "full": vi(
            1,
            addresses=(pair(1), pair(1, 6)),
            bgp=keyed(
                bfd={"interval": "1s", "multiplier": 5},
                communities=("65535:65284", "0:0", "65535:666", "64512:7", "no-export", "64512:7", "100:1"),
                allowas_in=3,
                customer_asn=4_200_000_001,
                advertise_limit=50,
            ),
        ),
        "back": vi(2, connection="fra-2", preference="backup", bgp={"multihop": 3, "bfd": True, "allowas_in": 1}),
        "shut": vi(3, gateway="red", admin="down", bgp={"ttl_security": True, "med": 0, "cloud_asn": 4_200_000_009}),
        "graceful": vi(4, connection="fra-2", bgp={"bfd": False, "graceful_restart": True}),
    },
    gateways={
        "red": {
            "vpc": "v",
            "asn": 64513,
            "vrf": "red",
            "accept": "any",
            "advertise": ("198.51.100.0/24", "0.0.0.0/0", "203.0.113.7/32"),
        }
    },
    provider="aws",
    secret="""!#"$%&'()*+,-./:;<=>?@[\\]^_`{|}~""",
)


def test_what_is_loaded_is_what_frr_prints(edge: Edge) -> None:
    edge.apply(EVERYTHING)
    assert edge.pending(EVERYTHING) == []


def is_default(line: ConfigLine) -> bool:
    """Whether FRR leaves a line unsaid: a neighbour is active in IPv4 unless told, in IPv6 only if told."""
    inactive = "address-family ipv6 unicast" in line.path
    return bool(re.fullmatch(r"no neighbor \S+ activate" if inactive else r"neighbor \S+ activate", line.text))


def frrs_own_judgement(edge: Edge, order: Derived) -> str:
    """What `frr-reload.py --test` would still change, were the order's lines FRR's file; they come from the order."""
    lines = {line for block in order.blocks.values() for line in block.lines if not is_default(line)}
    preamble = r"^(?:frr |hostname |service |log |no ipv6 forwarding|no ip forwarding).*$"
    base = re.findall(preamble, edge.frr.vtysh("show running-config"), re.MULTILINE)
    wanted = edge.frr.folder / "wanted.conf"
    wanted.touch(mode=0o600)
    text = render_lines(sorted(lines, key=lambda line: (line.path, line.text)))
    if "set community internet" in edge.frr.vtysh("show running-config"):  # as FRR before 10.3 has it
        text = text.replace("set community 0:0", "set community internet")
    wanted.write_text("\n".join([*base, text]))
    command = [str(DAEMON_FOLDER / "frr-reload.py"), "--test", "--stdout", "--pathspace", EDGE, str(wanted)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
    return judged.stdout.partition("Lines To")[2]


def test_frrs_own_tool_finds_nothing_to_change(edge: Edge) -> None:
    assert frrs_own_judgement(edge, EVERYTHING)
    edge.apply(EVERYTHING)
    assert frrs_own_judgement(edge, EVERYTHING) == ""


def test_it_converges_on_frr_as_debian_ships_it(edge: Edge) -> None:
    edge.frr.stop()
    edge.frr.start(DEBIANS.read_text())
    before = edge.frr.vtysh("show running-config")
    assert "log syslog informational" in before or edge.frr.version.startswith("10.7")  # which does not show it
    edge.apply(EVERYTHING)
    assert edge.pending(EVERYTHING) == []
    assert frrs_own_judgement(edge, EVERYTHING) == ""
    edge.client.write_config()
    edge.apply(derived({}))
    assert edge.frr.vtysh("show running-config") == before


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=orders())
def test_any_order_after_any_other_is_taken_to_the_end(edge: Edge, order: Derived) -> None:
    edge.apply(order)
    assert edge.pending(order) == []
    assert frrs_own_judgement(edge, order) == ""


def test_a_drain_and_its_end_come_back_to_the_same_configuration(edge: Edge) -> None:
    edge.apply(EVERYTHING)
    before = edge.client.running_config()
    drained = replace(EVERYTHING, drained=frozenset({"full", "back"}))
    edge.apply(drained)
    assert edge.pending(drained) == []
    edge.apply(EVERYTHING)
    assert edge.client.running_config() == before


def test_removing_everything_leaves_an_empty_frr_empty(edge: Edge) -> None:
    before = edge.frr.vtysh("show running-config")
    edge.apply(EVERYTHING)
    edge.apply(derived({}))
    assert edge.frr.vtysh("show running-config") == before


def test_the_operators_lines_stay_in_the_same_instance(edge: Edge) -> None:
    edge.frr.load(OPERATOR)
    before = edge.frr.vtysh("show running-config")
    edge.apply(EVERYTHING)
    assert edge.pending(EVERYTHING) == []
    assert "neighbor 192.168.0.9 description office" in edge.frr.vtysh("show running-config")
    edge.apply(derived({}))
    assert edge.frr.vtysh("show running-config") == before


@pytest.mark.parametrize("opener", ["router bgp 65010 as-notation dot+", "router bgp 0.65010 as-notation plain"])
def test_an_instance_that_is_shown_otherwise_is_the_same(edge: Edge, opener: str) -> None:
    try:
        edge.frr.load(f"{opener}\n neighbor 192.168.0.9 remote-as 65001\nexit\n")
    except LabFrrError:
        lacks(f"as-notation ({edge.frr.version})")
    before = edge.frr.vtysh("show running-config")
    edge.apply(EVERYTHING)
    assert edge.pending(EVERYTHING) == []
    edge.apply(derived({}))
    assert edge.frr.vtysh("show running-config") == before


def test_it_converges_whichever_family_the_operator_has_as_default(edge: Edge) -> None:
    edge.frr.load("router bgp 65010\n no bgp default ipv4-unicast\n bgp default ipv6-unicast\n")
    edge.apply(EVERYTHING)
    assert edge.pending(EVERYTHING) == []


def both(**bgp: object) -> Derived:
    """Interface `a`, with a password and what else is said, and `b`, which never changes."""
    return derived({"a": vi(1, addresses=(pair(1),), bgp=keyed(**bgp)), "b": vi(2, connection="fra-2")})


def established(edge: Edge, peers: Sequence[str]) -> None:
    def missing() -> str | None:
        states = {str(s.peer): s.state for s in edge.client.sessions()}
        down = {peer: states.get(peer, "absent") for peer in peers if states.get(peer) != "Established"}
        return f"{down}\n{edge.frr.log}" if down else None

    wait(missing, "sessions to come up")


def settled(edge: Edge, peer: str) -> int:
    """Wait until a session lasts: its first seconds may see it start over, where both ends have called; how often."""

    def missing() -> str | None:
        seen = edge.session(peer)
        return None if seen.up and (seen.uptime or 0) >= 2 else str(seen)

    wait(missing, "the session to last")
    return edge.session(peer).transitions


def test_prefixes_pass_as_the_policy_says(edge: Edge, cloud: Frr) -> None:
    cloud.load(CLOUD_CONFIG)
    ip("-n", EDGE, "route", "add", "blackhole", "192.0.2.0/24")
    order = derived(
        {
            "a": vi(1, addresses=({**pair(1), "password": {"credential": "a"}}, pair(1, 6))),
            "b": vi(2, connection="fra-2", preference="backup"),
        },
        advertise=("192.0.2.0/24", "198.51.100.0/24", "2001:db8:10::/48"),
    )
    edge.apply(order)
    established(edge, ["10.255.1.1", "10.255.2.1", "2001:db8:1::1"])

    def routes(frr: Frr, family: str = "ipv4") -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = frr.json(f"show bgp {family} unicast json").get("routes", {})
        return found

    def missing() -> str | None:
        here, there = routes(edge.frr), routes(cloud)
        seen = (
            set(here),
            set(there) - {"10.20.0.0/16", "10.99.0.0/16", "192.0.2.128/25"},
            set(routes(edge.frr, "ipv6")),
        )
        # Not the refused 10.99.0.0/16, not a part of our own range, not what has no route here.
        arrived = {"10.20.0.0/16", "192.0.2.0/24"}
        wanted = (arrived | {"198.51.100.0/24"}, {"192.0.2.0/24"}, {"2001:db8:20::/48", "2001:db8:10::/48"})
        return None if seen == wanted else str(seen)

    wait(missing, "the prefixes to pass")

    def preferred() -> str | None:
        # A session's first seconds may see it start over, its routes stale until then.
        paths = {str(path["peerId"]): path for path in routes(edge.frr).get("10.20.0.0/16", [])}
        seen = {peer: (path.get("locPrf"), path.get("bestpath", False)) for peer, path in paths.items()}
        return None if seen == {"10.255.1.1": (200, True), "10.255.2.1": (110, False)} else str(paths)

    wait(preferred, "the primary's path to be the best")

    def told_by_both() -> str | None:
        seen = {str(path["peerId"]) for path in routes(cloud).get("192.0.2.0/24", [])}
        return None if seen == {"10.255.1.2", "10.255.2.2"} else str(seen)

    wait(told_by_both, "the cloud to hear our prefix over both paths")
    told = {str(path["peerId"]): path for path in routes(cloud)["192.0.2.0/24"]}
    assert told["10.255.2.2"]["path"] == "65010 65010 65010 65010"
    assert told["10.255.1.2"]["path"] == "65010"
    (counts,) = edge.session("10.255.1.1").prefixes
    assert (counts.accepted, counts.advertised) == (1, 1)


GENEROUS_CLOUD = """
router bgp 64512
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.255.1.2 remote-as 65010
 neighbor 10.255.1.2 timers connect 1
 neighbor 10.255.2.2 remote-as 65010
 neighbor 10.255.2.2 timers connect 1
 neighbor 10.255.3.2 remote-as 4200000001
 neighbor 10.255.3.2 local-as 4200000002 no-prepend replace-as
 neighbor 10.255.3.2 timers connect 1
 address-family ipv4 unicast
  network 0.0.0.0/0
  network 10.30.0.0/16
  network 10.30.1.0/24
  network 10.30.1.128/25
  network 10.40.0.0/16
  network 100.64.0.0/16
  network 192.0.2.128/25
  network 203.0.113.0/24
  neighbor 10.255.3.2 route-map through-us out
 exit-address-family
exit
route-map through-us permit 10
 set as-path prepend 4200000001
exit
"""


def test_each_gateway_hears_what_it_accepts_and_says_what_it_may(edge: Edge, cloud: Frr) -> None:
    cloud.load(GENEROUS_CLOUD)
    lan = ("192.0.2.0/24", "198.51.100.0/24", "198.18.0.0/24")
    for prefix in lan:
        ip("-n", EDGE, "route", "add", "blackhole", prefix)

    def order(allowas_in: int) -> Derived:
        other_site = {"customer_asn": 4_200_000_001, "allowas_in": allowas_in, "advertise_limit": 2}
        return derived(
            {"a": vi(1, gateway="open"), "b": vi(2, connection="fra-2"), "c": vi(3, gateway="loop", bgp=other_site)},
            provider="otc",
            advertise=lan,
            gateways={
                "open": {"vpc": "open", "asn": 64512, "accept": "any"},
                "prod": {"vpc": "prod", "asn": 64512, "accept": ({"prefix": "10.30.0.0/16", "le": 24},)},
                "loop": {"vpc": "loop", "asn": 4_200_000_002, "accept": ("10.40.0.0/16",)},
            },
        )

    def passed(frr: Frr) -> dict[str, set[str]]:
        """What is known from each peer."""
        found: dict[str, set[str]] = {}
        for prefix, paths in frr.json("show bgp ipv4 unicast json").get("routes", {}).items():
            for path in paths:
                found.setdefault(str(path["peerId"]), set()).add(prefix)
        return found

    def wait_for(heard: dict[str, set[str]], told: dict[str, int]) -> None:
        def missing() -> str | None:
            here, there = passed(edge.frr), passed(cloud)
            here.pop("(unspec)", None)
            there.pop("(unspec)", None)
            counts = {peer: len(prefixes) for peer, prefixes in there.items()}
            return None if (here, counts) == (heard, told) else f"{here} {there}"

        wait(missing, "what each gateway accepts and may hear")

    edge.apply(order(allowas_in=0))
    established(edge, ["10.255.1.1", "10.255.2.1", "10.255.3.1"])
    heard = {
        # Not the default route, which nobody named; nothing that the provider reserves; no part of our own.
        "10.255.1.1": {"10.30.0.0/16", "10.30.1.0/24", "10.30.1.128/25", "10.40.0.0/16", "203.0.113.0/24"},
        "10.255.2.1": {"10.30.0.0/16", "10.30.1.0/24"},
    }
    told = {"10.255.1.2": 3, "10.255.2.2": 3, "10.255.3.2": 2}
    wait_for(heard, told)
    assert set().union(*(prefixes for peer, prefixes in passed(cloud).items() if peer != "(unspec)")) == set(lan)
    paths = cloud.json("show bgp ipv4 unicast json")["routes"]["192.0.2.0/24"]
    assert {path["path"] for path in paths if path["peerId"] != "10.255.3.2"} == {"65010"}
    known = cloud.json("show bgp ipv4 unicast neighbors 10.255.3.2 routes json")["routes"].values()
    assert {path["path"] for paths in known for path in paths} == {"4200000001"}
    # Our own AS in the path: another site of ours behind the cloud, heard only where that is ordered.
    edge.apply(order(allowas_in=1))
    wait_for({**heard, "10.255.3.1": {"10.40.0.0/16"}}, told)
    ip("-n", EDGE, "route", "del", "blackhole", "198.51.100.0/24")
    wait_for({**heard, "10.255.3.1": {"10.40.0.0/16"}}, dict.fromkeys(told, 2))


def test_equal_paths_share_the_traffic_and_a_drained_one_carries_none(edge: Edge, cloud: Frr) -> None:
    cloud.load(CLOUD_CONFIG)
    equal = derived(
        {
            "a": vi(1, preference="equal", bgp=keyed()),
            "b": vi(2, preference="equal", connection="fra-2"),
        }
    )
    edge.apply(equal)

    def waits_for(*hops: str) -> Callable[[], str | None]:
        def missing() -> str | None:
            shown = subprocess.run(
                ["ip", "-n", EDGE, "route", "show", "10.20.0.0/16"], capture_output=True, text=True, check=True
            ).stdout
            via = {word for before, word in pairwise(shown.split()) if before == "via"}
            return None if via == set(hops) else shown

        return missing

    wait(waits_for("10.255.1.1", "10.255.2.1"), "both paths in the kernel's table")
    edge.apply(replace(equal, drained=frozenset({"a"})))
    wait(waits_for("10.255.2.1"), "the drained path to leave")
    assert edge.session("10.255.1.1").up


def test_changing_one_interface_leaves_the_others_session_alone(edge: Edge, cloud: Frr) -> None:
    cloud.load(CLOUD_CONFIG)
    edge.apply(both())
    established(edge, ["10.255.1.1", "10.255.2.1"])
    changes: list[dict[str, object]] = [
        {"keepalive": "5s", "hold": "15s"},
        {"receive_limit": 7, "advertise_limit": 9},
        {"communities": ("1:2",), "med": 9, "allowas_in": 2},
        {"bfd": True},
        {"graceful_restart": True},
        {"multihop": 2},
        {"cloud_asn": 64999},
        {},
    ]
    before = settled(edge, "10.255.2.1")
    since = edge.frr.json("show bgp vrf all neighbors json")["default"]["10.255.2.1"]["bgpTimerUpEstablishedEpoch"]
    for change in changes:
        text = edge.apply(both(**change))
        assert "10.255.2.1" not in text
        assert edge.pending(both(**change)) == []
        other = edge.session("10.255.2.1")
        assert (other.state, other.transitions) == ("Established", before), change
    now = edge.frr.json("show bgp vrf all neighbors json")["default"]["10.255.2.1"]["bgpTimerUpEstablishedEpoch"]
    assert abs(now - since) <= 1  # bgpd counts whole seconds
    established(edge, ["10.255.1.1"])


@pytest.mark.parametrize(
    "change",
    [
        {"keepalive": "5s", "hold": "15s"},
        {"receive_limit": 7, "advertise_limit": 9},
        {"communities": ("1:2",), "med": 9, "allowas_in": 2},
    ],
    ids="+".join,
)
def test_what_the_plan_calls_harmless_resets_no_session(edge: Edge, cloud: Frr, change: dict[str, object]) -> None:
    cloud.load(CLOUD_CONFIG)
    edge.apply(both())
    established(edge, ["10.255.1.1"])
    before = settled(edge, "10.255.1.1")
    observed = observe_frr(edge.client.running_config(), both(**change).blocks, edge.owned)
    assert plan(both(**change).blocks, observed).disruption == "none"
    edge.apply(both(**change))
    edge.frr.vtysh("clear bgp ipv4 unicast 10.255.1.1 soft")
    session = edge.session("10.255.1.1")
    assert (session.state, session.transitions) == ("Established", before)
    edge.apply(both())
    session = edge.session("10.255.1.1")
    assert (session.state, session.transitions) == ("Established", before)


@pytest.mark.parametrize("change", [{"bfd": True}, {"graceful_restart": True}], ids="+".join)
def test_what_some_frr_resets_a_session_for_is_said_beforehand(
    edge: Edge, cloud: Frr, change: dict[str, object]
) -> None:
    cloud.load(CLOUD_CONFIG)
    edge.apply(both())
    established(edge, ["10.255.1.1"])
    observed = observe_frr(edge.client.running_config(), both(**change).blocks, edge.owned)
    assert plan(both(**change).blocks, observed).disruption == "session"


def test_a_wrong_password_fails_and_the_right_one_recovers(edge: Edge, cloud: Frr) -> None:
    cloud.load(CLOUD_CONFIG)
    right = both()
    edge.apply(right)
    established(edge, ["10.255.1.1"])
    wrong = derived({"a": vi(1, bgp=keyed()), "b": vi(2, connection="fra-2")}, secret="0ther")
    text = edge.apply(wrong)
    assert text == "router bgp 65010\n neighbor 10.255.1.1 password 0ther\nexit\n"

    def still_up() -> str | None:
        session = edge.session("10.255.1.1")
        return session.state if session.up else None

    wait(still_up, "the session with the wrong password to fall")
    edge.apply(right)
    established(edge, ["10.255.1.1"])


def test_a_restarted_bgpd_gets_its_configuration_again(edge: Edge) -> None:
    edge.apply(EVERYTHING)
    edge.frr.stop_daemon("bgpd", signal.SIGKILL)
    with pytest.raises(FrrUnavailableError, match="bgpd is not running"):
        edge.apply(EVERYTHING)
    edge.frr.start_daemon("bgpd")
    assert edge.pending(EVERYTHING)
    edge.apply(EVERYTHING)
    assert edge.pending(EVERYTHING) == []
    edge.apply(derived({}))
    assert "dcedge" not in edge.frr.vtysh("show running-config")


def test_a_wedged_bgpd_is_said_and_does_not_hang_the_agent(edge: Edge) -> None:
    impatient = FrrClient(EDGE, timeout=0.5)
    edge.frr.signal_daemon("bgpd", signal.SIGSTOP)
    try:
        with pytest.raises(FrrUnavailableError, match="bgpd does not answer"):
            impatient.apply("router bgp 65010\nexit\n")
        with pytest.raises(FrrUnavailableError, match="bgpd does not answer"):
            impatient.sessions()
        assert list(impatient.unavailable()) == ["bgpd"]
    finally:
        edge.frr.signal_daemon("bgpd", signal.SIGCONT)
        impatient.close()


def test_what_frr_refuses_is_told_without_the_secret(edge: Edge) -> None:
    with pytest.raises(FrrRejectedError, match=r"password \*\*\*") as refused:
        edge.client.apply(
            f"router bgp 65010\n neighbor 10.255.1.1 remote-as 1\n neighbor 10.255.1.1 password {'x' * 81}\n"
        )
    assert "xxx" not in str(refused.value)
    assert refused.value.failures[0].line == "neighbor 10.255.1.1 password ***"


def test_a_saved_configuration_survives_a_restart_of_all_daemons(edge: Edge) -> None:
    edge.apply(EVERYTHING)
    edge.client.write_config()
    saved = (edge.frr.folder / "frr.conf").read_text()
    edge.frr.stop()
    edge.frr.start(saved)
    assert edge.pending(EVERYTHING) == []


def test_what_a_hostile_peer_says_is_told_without_doing_anything(edge: Edge) -> None:
    order = derived({"b": vi(2)})
    edge.apply(order)
    before = edge.client.running_config()
    hostile = b"\x1b]0;owned\x07\nrouter bgp 666\n neighbor 10.255.2.1 shutdown\n%n{{7*7}}\xff"

    def speak() -> None:
        with speaker.listen("10.255.2.1") as listener:
            speaker.shut_down(speaker.establish(listener, 64512, hostile), hostile)

    in_namespace(CLOUD, speak)

    def reset() -> str | None:
        said = edge.session("10.255.2.1").last_reset or ""
        return None if "owned" in said else f"{said!r} {edge.frr.log}"

    wait(reset, "the shutdown's text to be told")
    told = repr(edge.client.sessions()) + (edge.session("10.255.2.1").last_reset or "")
    assert "\x1b" not in told
    assert "\n" not in told
    assert edge.client.running_config() == before
    assert edge.pending(order) == []


def test_the_operators_log_commands_is_warned_of(edge: Edge) -> None:
    assert warnings(edge.client.running_config()) == ()
    edge.frr.load("log commands\n")
    (said,) = warnings(edge.client.running_config())
    assert "every BGP password" in said


def option_memory(size: int) -> None:
    """What a socket of the edge may spend on options, TCP-MD5 keys among them."""
    command = ["ip", "netns", "exec", EDGE, "sysctl", "-qw", f"net.core.optmem_max={size}"]
    subprocess.run(command, check=True, capture_output=True, text=True)


def in_namespace(name: str, function: Callable[[], T]) -> T:
    """Call a function in a network namespace."""
    with ThreadPoolExecutor(1, initializer=enter, initargs=(NAMESPACES / name,)) as thread:
        return thread.submit(function).result()


def in_edge(function: Callable[[], T]) -> T:
    """Call a function in the edge's network namespace."""
    return in_namespace(EDGE, function)


BOTH_KEYED = derived({"a": vi(1, bgp=keyed()), "b": vi(2, connection="fra-2", bgp=keyed())})


def test_keys_are_found_in_force_and_another_one_is_told(edge: Edge) -> None:
    edge.apply(BOTH_KEYED)
    wanted = keyed_peers(BOTH_KEYED.blocks)
    assert len(wanted) == 2
    assert in_edge(lambda: look_for_keys(wanted)) == KeySearch(frozenset(), "")
    other = dict(wanted) | {peer: Secret("another") for peer in wanted if peer.virtual_interface == "b"}
    assert in_edge(lambda: look_for_keys(other).missing) == {
        KeyedPeer("b", "router bgp 65010", None, ip_address("10.255.2.1")),
    }


def test_a_session_whose_key_the_kernel_refused_is_shut_until_it_is_in_force(edge: Edge, cloud: Frr) -> None:
    cloud.load(CLOUD_CONFIG)
    option_memory(200)  # room for one key
    with pytest.raises(FrrRejectedError, match="TCP-Sig"):
        edge.apply(BOTH_KEYED)
    keyed_ = keyed_peers(BOTH_KEYED.blocks)

    def secured() -> frozenset[KeyedPeer]:
        missing = look_for_keys(keyed_).missing
        return secure(edge.client, BOTH_KEYED.blocks, keyed_, missing) if missing else missing

    (unsafe,) = in_edge(secured)
    assert edge.session(str(unsafe.peer)).admin_down
    observed = observe_frr(edge.client.running_config(), BOTH_KEYED.blocks, edge.owned)
    assert not plan(shut_down_unsafe(BOTH_KEYED.blocks, {unsafe}), observed)
    assert in_edge(secured) == {unsafe}
    option_memory(1 << 20)
    assert in_edge(secured) == frozenset()
    assert not edge.session(str(unsafe.peer)).admin_down
    assert edge.pending(BOTH_KEYED) == []
