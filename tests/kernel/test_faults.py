"""Faults as they happen on a Direct Connect: each is injected, named by `status` and by `explain`, and mended again.

Each test breaks a virtual interface of its own choice and mends it; the next one that needs it waits until it is up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from dcedge.api.control.client import ControlClient
from tests.lab.bed import CUSTOMER_ASN, Bed
from tests.lab.clouds import Attachment, Peer
from tests.lab.netns import Namespace, Port, end, leave_on_signals
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(420)

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24, "2001:db8:10::/48"]}
connections:
  fra-1: {provider: generic, port: eth1, bandwidth: 1G, circuit_id: "LAB-4711"}
  fra-2: {provider: generic, port: eth2, bandwidth: 1G, circuit_id: "LAB-4712"}
  fra-3: {provider: generic, port: {bond: bond0, members: [eth3, eth4]}, bandwidth: 1G, circuit_id: "LAB-4713"}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16, "2001:db8:20::/48"]}
  dev: {vpc: vpc-dev, asn: 64513, accept: [10.30.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 50M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
    preference: primary
    bgp: {password: {credential: prod-a}}
    probe: {interval: 200ms}
  prod-b:
    connection: fra-2
    virtual_gateway: prod
    vlan: 102
    bandwidth: 100M
    addresses:
      - {customer: 10.255.102.2/30, cloud: 10.255.102.1}
      - {customer: "2001:db8:102::2/126", cloud: "2001:db8:102::1"}
    preference: backup
    bgp: {bfd: true}
    probe: {interval: 200ms}
  dev-a:
    connection: fra-2
    virtual_gateway: dev
    vlan: 201
    bandwidth: 200M
    addresses: [{customer: 10.255.201.2/30, cloud: 10.255.201.1}]
    bgp: {bfd: true, password: {credential: dev-a}}
    probe: {interval: 200ms}
  lag-a:
    connection: fra-3
    virtual_gateway: dev
    vlan: 301
    bandwidth: 50M
    addresses: [{customer: 10.255.31.2/30, cloud: 10.255.31.1}]
    preference: backup
    probe: {interval: 200ms}
"""
ALL = ("prod-a", "prod-b", "dev-a", "lag-a")
CLOUD_A = "10.255.101.1"
DEV_CLOUD, DEV_EDGE, DEV_NET = "10.255.201.1", "10.255.201.2", "10.255.201.0/30"
MENDING_SECONDS = 60  # the cloud's and FRR's own patience after a failure
# What comes in time is this router's own fault for half a minute after it was late itself.
DIAGNOSIS_SECONDS = 90
LATE = "this router was late itself"
AN_HOUR, TEN_MINUTES = 3600, 600  # probes, at the default of one a second
PASSWORD = "Kaiserlei-101"
WHY, WHY_SHOWN = "Umbau bis 18 Uhr, größer \x1b[31m\u202e", "Umbau bis 18 Uhr, größer \\x1b[31m\\u202e"


@pytest.fixture(scope="module")
def faulty() -> Iterator[Bed]:
    """The standard testbed with a bundle of two fibres besides; the daemon runs."""
    leave_on_signals()
    with Bed() as bed:
        exchange = bed.exchange.namespace
        fibres = [bed.edge.plug(f"eth{3 + n}", Port(exchange, f"fra-3{'ab'[n]}")) for n in (0, 1)]
        exchange.ip("link add fra-3 type bond mode 802.3ad miimon 100 lacp_rate fast")
        for fibre in fibres:
            exchange.ip(
                f"link set {fibre.cloud.name} down",
                f"link set {fibre.cloud.name} master fra-3",
                f"link set {fibre.cloud.name} up",
            )
        exchange.ip("link set fra-3 up")
        bed.fibres = {**bed.fibres, "fra-3b": fibres[1]}
        peers = (Peer("10.255.31.1/30", "10.255.31.2"),)
        bed.dev.attach(Attachment("lag-a", fibres[0], 301, peers, CUSTOMER_ASN, trunk="fra-3"))
        bed.dev.configure()
        bed.edge.order.write_text(ORDER)
        bed.edge.start_daemon()
        yield bed


def status_of(bed: Bed, name: str) -> tuple[str, str, str, str]:
    """State, layer, side and reason of the verdict."""
    vi = bed.edge.virtual_interfaces().get(name, {})
    return vi.get("verdict", ""), vi.get("layer", ""), vi.get("side", ""), vi.get("reason", "")


def explained(bed: Bed, name: str) -> dict[str, Any]:
    """What `dcedge explain --json` says."""
    outcome = bed.edge.dcedge("explain", name, "--json")
    assert outcome.status == 0, outcome.said
    return dict(outcome.json())


def diagnosed(
    bed: Bed,
    name: str,
    state: str,
    layer: str,
    side: str,
    *,
    verdict_layers: tuple[str, ...] = (),
    comes_and_goes: bool = False,
) -> dict[str, Any]:
    """Wait until `status` names the fault, have it explained, and check that both name the same; the explanation.

    `verdict_layers`: where the daemon, which only listens, may name another layer for want of the active looks.
    `comes_and_goes`: with the load, so that it may be gone at the moment of one look.
    """
    layers = {layer, *verdict_layers}
    until(
        f"{name} to be {state}, at {layer}, on the side of {side}",
        lambda: status_of(bed, name),
        DIAGNOSIS_SECONDS,
        accept=lambda seen: (seen[0], seen[2]) == (state, side) and seen[1] in layers,
    )

    def answers(told: dict[str, Any]) -> bool:
        found = told["finding"]
        return LATE not in found["text"] if found is not None else not comes_and_goes

    told = until("explain's answer", lambda: explained(bed, name), DIAGNOSIS_SECONDS, accept=answers)
    finding = told["finding"]
    assert finding is not None, json.dumps(told, indent=1)
    assert (finding["layer"], finding["side"]) == (layer, side), json.dumps(told, indent=1)
    return told


def wait_all_up(bed: Bed) -> None:
    """Wait until every virtual interface is up."""
    bed.edge.wait_up(*ALL, timeout=MENDING_SECONDS)


@contextmanager
def broken(bed: Bed, name: str, breaks: Callable[[], object], mends: Callable[[], object]) -> Iterator[None]:
    """A virtual interface that was up, broken, and mended at the end; its next user waits until it is up again."""
    until(f"{name} to be up", lambda: status_of(bed, name), MENDING_SECONDS, accept=lambda seen: seen[0] == "up")
    breaks()
    try:
        yield
    finally:
        mends()


def tc(namespace: Namespace, device: str, *filters: str) -> None:
    """Filters on what comes into a device; none: nothing is filtered."""
    namespace.run("tc", "qdisc", "del", "dev", device, "clsact", check=False)
    if filters:
        namespace.run("tc", "qdisc", "add", "dev", device, "clsact")
    for words in filters:
        namespace.run("tc", "filter", "add", "dev", device, "ingress", *words.split())


def at_cloud(bed: Bed, name: str, *filters: str) -> None:
    """Filters on what comes into the cloud by a virtual interface."""
    tc(bed.cloud_of(name).router, name, *filters)


def rewire(bed: Bed, name: str, vlan: int) -> None:
    """Have the cloud use another VLAN for a virtual interface."""
    cloud = bed.cloud_of(name)
    attachment = cloud.attachments[name]
    cloud.detach(name)
    cloud.attach(replace(attachment, vlan=vlan))
    cloud.configure()


def readdress(bed: Bed, name: str, *peers: Peer) -> None:
    """Have the cloud use other addresses on a virtual interface."""
    cloud = bed.cloud_of(name)
    cloud.router.ip(f"address flush dev {name} scope global", *(f"address add {p.cloud} dev {name}" for p in peers))
    cloud.change(name, peers=peers)


def test_a_healthy_line_has_nothing_to_explain(faulty: Bed) -> None:
    wait_all_up(faulty)
    told = explained(faulty, "prod-b")
    assert told["finding"] is None, json.dumps(told, indent=1)
    states = {step["layer"]: step["state"] for step in told["steps"]}
    assert states.pop("light") == "unknown", "a veth has no transceiver"
    assert states.pop("lacp") == "skipped", "it is no bond"
    assert set(states.values()) == {"ok"}, told["steps"]
    carrier = next(step["text"] for step in told["steps"] if step["layer"] == "carrier")
    assert carrier.startswith("carrier, 10G, full duplex"), "as a veth has it"
    bundle = next(c for c in faulty.edge.status()["connections"] if c["name"] == "fra-3")
    assert [(m["port"], m["partner_heard"], m["in_use"]) for m in bundle["members"]] == [
        ("eth3", True, True),
        ("eth4", True, True),
    ]
    outcome = faulty.edge.dcedge("explain", "nobody")
    assert outcome.status == 1
    assert "no virtual interface 'nobody'; it has: dev-a, lag-a, prod-a, prod-b" in outcome.stderr


def test_fibre_cut(faulty: Bed) -> None:
    fibre = faulty.fibres["fra-1"]
    with broken(faulty, "prod-a", fibre.cut, fibre.splice):
        told = diagnosed(faulty, "prod-a", "down", "carrier", "line")
    assert "LAB-4711" in told["ticket"]
    assert "port eth1 has no carrier" in told["ticket"]
    assert "Since: " in told["ticket"]


def test_one_lacp_member_gone(faulty: Bed) -> None:
    fibre = faulty.fibres["fra-3b"]
    with broken(faulty, "lag-a", fibre.cut, fibre.splice):
        told = diagnosed(faulty, "lag-a", "degraded", "lacp", "line")
    assert "1 of the 2 members of bond0 carry traffic: eth4 has no carrier" in told["finding"]["text"]


def test_one_lacp_member_without_lacp_at_the_cloud(faulty: Bed) -> None:
    exchange = faulty.exchange.namespace

    def leave() -> None:
        exchange.ip("link set fra-3b nomaster", "link set fra-3b up")

    def join() -> None:
        exchange.ip("link set fra-3b down", "link set fra-3b master fra-3", "link set fra-3b up")

    with broken(faulty, "lag-a", leave, join):
        # Its last LACPDU is believed for three seconds more (IEEE 802.1AX-2020, 6.4.4: Short_Timeout_Time).
        unheard = "the cloud does not speak LACP on eth4"
        until("the partner to be missed", lambda: status_of(faulty, "lag-a"), accept=lambda seen: unheard in seen[3])
        told = diagnosed(faulty, "lag-a", "degraded", "lacp", "cloud")
    assert unheard in told["finding"]["text"]


def test_wrong_asn(faulty: Bed) -> None:
    change = faulty.dev.change
    with broken(
        faulty, "dev-a", lambda: change("dev-a", customer_asn=65099), lambda: change("dev-a", customer_asn=CUSTOMER_ASN)
    ):
        told = diagnosed(faulty, "dev-a", "down", "open", "cloud")
    assert "the cloud refuses our AS 65010" in told["finding"]["text"]


def test_wrong_vlan_at_the_cloud(faulty: Bed) -> None:
    with broken(faulty, "prod-a", lambda: rewire(faulty, "prod-a", 111), lambda: rewire(faulty, "prod-a", 101)):
        told = diagnosed(faulty, "prod-a", "down", "frames", "cloud")
    assert "ordered VLAN 101, seeing VLAN 111 from " in told["finding"]["text"]
    assert CLOUD_A in told["finding"]["text"]


def test_bfd_off_at_the_cloud(faulty: Bed) -> None:
    change = faulty.prod.change
    with broken(faulty, "prod-b", lambda: change("prod-b", bfd=False), lambda: change("prod-b", bfd=True)):
        told = diagnosed(faulty, "prod-b", "degraded", "bfd", "cloud")
    assert "Enable BFD (300 ms × 3)" in told["finding"]["next_step"]


def test_bfd_off_at_the_cloud_while_the_daemon_is_stopped(faulty: Bed) -> None:
    """FRR 10.3 leaves the session Idle then, for which the cloud cannot be blamed; others set it up again."""
    edge = faulty.edge

    def break_it() -> None:
        assert edge.stop_daemon() == 0
        faulty.prod.change("prod-b", bfd=False)

    def mend() -> None:
        faulty.prod.change("prod-b", bfd=True)
        edge.start_daemon()

    with broken(faulty, "prod-b", break_it, mend):
        finding = until(
            "BFD to be named",
            lambda: explained(faulty, "prod-b")["finding"],
            accept=lambda finding: finding is not None and finding["layer"] == "bfd" and "again" not in finding["text"],
        )
        version = edge.frr.vtysh("show version").split()[1]
        kept = f"FRR {version} sets up no session while BFD is not up, and BFD is down"
        assert kept in finding["text"] or "is down while BGP is up: the cloud has not enabled it" in finding["text"]


def test_md5_missing(faulty: Bed) -> None:
    change = faulty.prod.change
    with broken(faulty, "prod-a", lambda: change("prod-a", password=None), lambda: change("prod-a", password=PASSWORD)):
        told = diagnosed(faulty, "prod-a", "down", "md5", "cloud")
    assert "no password is set there" in told["finding"]["text"]
    assert PASSWORD not in json.dumps(told)


def test_cloud_silent_on_arp(faulty: Bed) -> None:
    cloud, edge = faulty.dev.router, faulty.edge.namespace

    def ignore(how: int) -> None:
        cloud.sysctl(**{"ipv4__conf__dev-a__arp_ignore": how})
        # What is known for half a minute more is forgotten now.
        edge.run("ip", "neigh", "flush", "dev", "eth2.201")

    def breaks() -> None:
        # The cloud's own entry must not age: it would ask, and the edge learns its address from a question too.
        (link,) = json.loads(edge.run("ip", "-j", "link", "show", "dev", "eth2.201").stdout)
        cloud.ip(f"neigh replace {DEV_EDGE} lladdr {link['address']} dev dev-a nud permanent")
        ignore(8)

    def mends() -> None:
        cloud.ip(f"neigh del {DEV_EDGE} dev dev-a")
        ignore(0)

    with broken(faulty, "dev-a", breaks, mends):
        told = diagnosed(faulty, "dev-a", "down", "neighbour", "cloud")
    assert "10.255.201.1 does not answer ARP" in told["finding"]["text"]


def test_md5_wrong(faulty: Bed) -> None:
    change = faulty.prod.change
    with broken(
        faulty, "prod-a", lambda: change("prod-a", password="other"), lambda: change("prod-a", password=PASSWORD)
    ):
        told = diagnosed(faulty, "prod-a", "down", "md5", "cloud")
    assert "another password is set there" in told["finding"]["text"]


def test_icmp_rate_limited_with_a_healthy_link(faulty: Bed) -> None:
    limit = "protocol ip u32 match ip protocol 1 0xff action police rate 1kbit burst 200 mtu 2k drop"
    with broken(faulty, "prod-b", lambda: at_cloud(faulty, "prod-b", limit), lambda: at_cloud(faulty, "prod-b")):
        seen = until(
            "the lost pings to be laid to the cloud's policing of ICMP",
            lambda: status_of(faulty, "prod-b"),
            DIAGNOSIS_SECONDS,
            accept=lambda seen: seen[:3] == ("up", "ping", "cloud"),
        )
        assert "policed ICMP" in seen[3]
        told = until(
            "explain's answer",
            lambda: explained(faulty, "prod-b"),
            DIAGNOSIS_SECONDS,
            accept=lambda told: told["finding"] is None or LATE not in told["finding"]["text"],
        )
        assert told["finding"] is None, json.dumps(told, indent=1)
        pings = next(step for step in told["steps"] if step["layer"] == "ping")
        assert pings["state"] == "ok"
        assert "policed ICMP" in pings["text"] or "filters ICMP" in pings["text"]


def test_tcp_179_filtered(faulty: Bed) -> None:
    def break_it() -> None:
        at_cloud(
            faulty,
            "dev-a",
            "protocol ip u32 match ip protocol 6 0xff match ip dport 179 0xffff action drop",
            "protocol ip u32 match ip protocol 6 0xff match ip sport 179 0xffff action drop",
        )
        faulty.edge.frr.vtysh("clear bgp 10.255.201.1")

    with broken(faulty, "dev-a", break_it, lambda: at_cloud(faulty, "dev-a")):
        told = diagnosed(faulty, "dev-a", "down", "tcp", "cloud")
    evidence = " ".join(told["finding"]["evidence"])
    assert "without MD5 gets: nothing" in evidence, json.dumps(told, indent=1)


@pytest.mark.parametrize(
    ("broken_by", "mended_by", "says"),
    [
        (f"route del {DEV_NET} dev eth2.201", f"route add {DEV_NET} dev eth2.201 proto kernel", "has no route to"),
        (
            f"route add {DEV_CLOUD}/32 dev lan0",
            f"route del {DEV_CLOUD}/32 dev lan0",
            "leave by lan0 instead of eth2.201",
        ),
    ],
    ids=["no route", "another's route"],
)
def test_packets_to_the_cloud_itself_led_astray(faulty: Bed, broken_by: str, mended_by: str, says: str) -> None:
    """Pings are bound to the link, and answered: nobody is to look for a filter at the cloud."""
    edge = faulty.edge

    def breaks() -> None:
        edge.namespace.ip(broken_by)
        edge.frr.vtysh(f"clear bgp {DEV_CLOUD}")  # else it lasts until the hold time is over

    with broken(faulty, "dev-a", breaks, lambda: edge.namespace.ip(mended_by)):
        told = diagnosed(faulty, "dev-a", "down", "tcp", "customer")
    assert says in told["finding"]["text"]


def test_prefix_cap_exceeded(faulty: Bed) -> None:
    change = faulty.prod.change
    with broken(faulty, "prod-a", lambda: change("prod-a", prefix_cap=0), lambda: change("prod-a", prefix_cap=None)):
        told = diagnosed(faulty, "prod-a", "down", "prefixes", "customer")
    assert "we announce more prefixes than the cloud accepts" in told["finding"]["text"]


def test_shut_down_at_the_cloud_with_a_word_of_why(faulty: Bed) -> None:
    """BIRD takes the password out of its listener with the session, so that it answers without one."""
    cloud = faulty.prod
    with broken(faulty, "prod-a", lambda: cloud.shut("prod-a", WHY), lambda: cloud.open("prod-a")):
        told = diagnosed(faulty, "prod-a", "down", "open", "cloud", verdict_layers=("bgp",))
        assert "the cloud has shut the session down" in told["finding"]["text"]
        assert any(WHY_SHOWN in text for text in told["finding"]["evidence"]), told
        (session,) = faulty.edge.virtual_interfaces()["prod-a"]["bgp"]
        assert session["last_reset"] == f"BGP Notification received: Cease/Administrative Shutdown: {WHY_SHOWN}"
    reasons = set()

    def seen() -> str:
        verdict, _, _, reason = status_of(faulty, "prod-a")
        reasons.add(reason)
        return verdict

    until("prod-a to be up again", seen, MENDING_SECONDS, accept=lambda verdict: verdict == "up")
    assert not [reason for reason in reasons if re.search(r"is Established[^,]*: the cloud has", reason)]
    (session,) = faulty.edge.virtual_interfaces()["prod-a"]["bgp"]
    assert session["last_reset"].endswith(WHY_SHOWN), "why it was lost is still known when it is up again"


def test_wrong_address_at_the_cloud(faulty: Bed) -> None:
    ordered = faulty.attachment("prod-a").peers
    other = (Peer("10.255.101.5/29", "10.255.101.2"),)

    def readdressed(*peers: Peer) -> None:
        readdress(faulty, "prod-a", *peers)
        faulty.edge.namespace.run("ip", "neigh", "flush", "dev", "eth1.101")

    with broken(faulty, "prod-a", lambda: readdressed(*other), lambda: readdressed(*ordered)):
        told = diagnosed(faulty, "prod-a", "down", "neighbour", "cloud")
    assert "the cloud uses 10.255.101.5" in told["finding"]["text"]
    assert "where the order says 10.255.101.1" in told["finding"]["text"]


def test_mtu_black_hole(faulty: Bed) -> None:
    hole = "protocol all matchall action police rate 1gbit burst 1m mtu 1400 conform-exceed drop"
    with broken(faulty, "prod-b", lambda: at_cloud(faulty, "prod-b", hole), lambda: at_cloud(faulty, "prod-b")):
        told = diagnosed(faulty, "prod-b", "degraded", "mtu", "cloud")
    finding = told["finding"]
    assert "packets of 1500 bytes do not get through" in finding["text"]
    assert any(f"has {size} bytes of IP" in text for text in finding["evidence"] for size in range(1380, 1401))


def test_the_clouds_policer_below_the_order(faulty: Bed) -> None:
    # A sender that shares its processor with other tests sends little: a tenth of a small order is soon carried.
    policer = "protocol ip matchall action police rate 1mbit burst 16k conform-exceed drop"
    faulty.edge.order.write_text(ORDER.replace("bandwidth: 50M", "bandwidth: 10M", 1))
    faulty.edge.reload_daemon()
    try:
        with broken(faulty, "prod-a", lambda: at_cloud(faulty, "prod-a", policer), lambda: at_cloud(faulty, "prod-a")):
            sender = faulty.edge.host.popen(
                *("iperf3", "--client", faulty.prod.host_address(4), "--udp", "--bitrate", "4M", "--time", "240")
            )
            try:
                told = diagnosed(faulty, "prod-a", "degraded", "rate", "cloud", comes_and_goes=True)
            finally:
                end(sender)
    finally:
        faulty.edge.order.write_text(ORDER)
        faulty.edge.reload_daemon()
    assert "of the ordered 10M go out" in told["finding"]["text"]


def test_every_fault_is_mended_and_told_in_the_history_that_outlives_the_daemon(faulty: Bed) -> None:
    wait_all_up(faulty)
    before = history(faulty, "prod-a")
    assert {"no carrier" in one["reason"] for one in before} == {True, False}, before
    assert before[-1]["after"] == "up"
    faulty.edge.kill_daemon()
    faulty.edge.start_daemon()
    wait_all_up(faulty)
    after = history(faulty, "prod-a")[: len(before)]
    assert [(one["at"], one["after"]) for one in after] == [(one["at"], one["after"]) for one in before]


def history(bed: Bed, name: str) -> list[dict[str, Any]]:
    """The transitions that the daemon keeps of a virtual interface."""
    return [dict(one) for one in ControlClient(bed.edge.socket).history(name)]


@pytest.mark.sized
def test_an_hour_of_probes_on_a_healthy_line_raises_no_alarm(faulty: Bed, thorough: bool) -> None:
    probes = AN_HOUR if thorough else TEN_MINUTES
    wait_all_up(faulty)
    before = {name: history(faulty, name) for name in ALL}
    faulty.edge.order.write_text(ORDER.replace("200ms", "10ms"))
    faulty.edge.reload_daemon()
    started: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, str, str]] = set()

    def probed() -> dict[tuple[str, str], int]:
        vis = faulty.edge.virtual_interfaces()
        seen.update((name, vi["verdict"], vi["reason"]) for name, vi in vis.items() if vi["verdict"] != "up")
        streams = [(name, probe) for name, vi in vis.items() for probe in vi["probes"]]
        sent = {(name, p["destination"]): p["sent"] for name, p in streams if p["interval_seconds"] < 0.02}
        for key, count in sent.items():
            started.setdefault(key, count)
        return {key: count - started[key] for key, count in sent.items()}

    until(
        "so many probes on every line",
        probed,
        timeout=120,
        accept=lambda counts: len(counts) == 5 and min(counts.values()) >= probes,
    )
    assert seen == set()
    assert {name: history(faulty, name) for name in ALL} == before
    faulty.edge.order.write_text(ORDER)
    faulty.edge.reload_daemon()


def test_port_set_down_on_this_router(faulty: Bed) -> None:
    """The daemon brings it up again at once, so it is explained without one."""
    edge = faulty.edge
    faulty.wait_up("prod-a")
    edge.namespace.ip("link set eth1 down")
    until("the daemon to have repaired it", edge.status, accept=lambda seen: "port" in seen["pass"]["drift_repaired"])
    faulty.wait_up("prod-a")
    assert edge.stop_daemon() == 0
    edge.namespace.ip("link set eth1 down")
    told = explained(faulty, "prod-a")
    finding = told["finding"]
    assert (finding["layer"], finding["side"]) == ("port", "customer")
    assert "port eth1 is set down on this router" in finding["text"]
    assert any("the daemon is not running" in text for text in told["not_seen"])
    edge.start_daemon()
    faulty.wait_up("prod-a")
