"""The main job: what was ordered is what the router is, against a BIRD and an FRR as the clouds."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dcedge.api.control.client import MAX_BODY, ControlClient
from dcedge.frr.config import ConfigLine, render_lines
from dcedge.frr.delta import blocks_of
from dcedge.kernel.capabilities import Capabilities
from dcedge.order.credentials import read_credentials
from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import load_order
from dcedge.reconcile.desired import credentials_of, derive
from dcedge.reconcile.state.formats import Runtime
from tests.lab import traffic
from tests.lab.bed import ORDER, ORDERED_BPS, PASSWORDS, Bed
from tests.lab.frr import DAEMON_FOLDER
from tests.lab.netns import execute
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)

LINKS = {"prod-a": "eth1.101", "prod-b": "eth2.102", "dev-a": "eth2.201"}
EVERY_SYSCTL = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")

TWELVE_MISTAKES = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: otc, port: eth1, bandwidth: 1G}
  fra-2: {provider: aws, port: eth2, bandwith: 1G}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.1/16]}
  dev: {vpc: vpc-dev, asn: 64513, accept: [10.30.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: nowhere
    vlan: 4095
    bandwidth: 50
    addresses:
      - {customer: 10.255.101.2, cloud: 10.255.101.1}
      - {customer: 10.255.102.2/30, cloud: 10.255.103.1}
    preference: first
    bgp: {password: {credential: prod-a}, bfd: {interval: 300}}
  dev-a:
    connection: fra-9
    virtual_gateway: dev
    vlan: 0x65
    bandwidth: 20G
    admin: sideways
    addresses: [{customer: 10.255.201.2/30, cloud: 10.255.201.2}]
"""


def located(text: str) -> list[str]:
    """The lines of a message that name a place in the order."""
    return [line for line in text.splitlines() if re.match(r"\S*order\.yaml:\d+:\d+: ", line)]


def as_json(text: str) -> Any:
    """JSON that `ip` or `tc` printed; nothing at all is an empty list."""
    return json.loads(text) if text.strip() else []


def router_state(bed: Bed, *, frr: bool = True) -> dict[str, object]:
    """All of the edge that dcedge may touch, comparable: links, addresses, qdiscs, routes, sysctls, FRR."""
    edge = bed.edge

    def ask(tool: str, *words: str) -> Any:
        return as_json(execute(tool, "-n", edge.namespace.name, "-j", *words).stdout)

    state: dict[str, object] = {}
    for link in ask("ip", "-d", "address", "show"):
        for address in link["addr_info"]:
            for passing in ("valid_life_time", "preferred_life_time", "tentative"):
                address.pop(passing, None)
        state[f"link {link['ifname']}"] = link
    for qdisc in ask("tc", "qdisc", "show"):
        qdisc["options"].pop("direct_packets_stat", None)  # a counter
        state[f"qdisc {qdisc['dev']} {qdisc.get('parent', 'root')}"] = qdisc
        if qdisc["kind"] == "htb":
            state[f"class {qdisc['dev']}"] = shaper(bed, qdisc["dev"])
    for family in ("-4", "-6"):
        for route in ask("ip", family, "route", "show", "table", "all"):
            state[f"route {family} {json.dumps(route, sort_keys=True)}"] = True
    for name in EVERY_SYSCTL:
        state[f"sysctl {name}"] = edge.namespace.call(Path("/proc/sys/net", name).read_text)
    if frr:
        state["frr"] = edge.frr.vtysh("show running-config")
    return state


def refusal(order: Path) -> OrderInvalidError:
    """What is wrong with an order file."""
    with pytest.raises(OrderInvalidError) as caught:
        load_order(order)
    return caught.value


def steady(state: dict[str, object]) -> dict[str, object]:
    """A state without what a link made anew cannot have again: its index and hardware address; and FRR's routes."""
    return {
        key: {k: v for k, v in value.items() if k not in {"ifindex", "address", "link_index"}}
        if key.startswith("link ") and isinstance(value, dict)
        else value
        for key, value in state.items()
        if not key.startswith("route ")
    }


def differences(before: dict[str, object], after: dict[str, object]) -> dict[str, tuple[object, object]]:
    """What differs between two states, before and after."""
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }


def sessions(bed: Bed) -> dict[str, tuple[int, int]]:
    """How often each session of the edge has come up and gone down."""
    neighbours = bed.edge.frr.json("show bgp neighbors json")
    return {
        peer: (facts["connectionsEstablished"], facts["connectionsDropped"])
        for peer, facts in neighbours.items()
        if isinstance(facts, dict) and "connectionsEstablished" in facts
    }


def is_default(line: ConfigLine) -> bool:
    """Whether FRR leaves a line unsaid: a neighbour is active in IPv4 unless told, in IPv6 only if told."""
    inactive = "address-family ipv6 unicast" in line.path
    return bool(re.fullmatch(r"no neighbor \S+ activate" if inactive else r"neighbor \S+ activate", line.text))


def pending(bed: Bed) -> list[dict[str, Any]]:
    """The operations of `dcedge plan`; the exit status agrees with them."""
    outcome = bed.edge.dcedge("plan", "--json")
    operations: list[dict[str, Any]] = outcome.json()["operations"]
    assert outcome.status == (2 if operations else 0), outcome.said
    return operations


def shaper(bed: Bed, link: str) -> list[str]:
    """A link's HTB classes, a line each (tc has no JSON of them); fq_codel's come and go with its flows."""
    said = execute("tc", "-n", bed.edge.namespace.name, "class", "show", "dev", link, check=False).stdout
    return [line for line in said.splitlines() if line.startswith("class htb")]


def slow_down(bed: Bed, link: str) -> None:
    """Change a shaper's rate by hand."""
    handle = shaper(bed, link)[0].split()[2]
    bed.edge.namespace.run("tc", "class", "change", "dev", link, "classid", handle, "htb", "rate", "10mbit")


def break_by_hand(bed: Bed) -> None:
    """A link deleted, a rate changed, a shaper deleted, an address deleted, a neighbour removed: five hands' work."""
    edge = bed.edge
    edge.namespace.ip("link delete dev eth1.101", "address delete 10.255.201.2/30 dev eth2.201")
    slow_down(bed, "eth2.201")
    edge.namespace.run("tc", "qdisc", "delete", "dev", "eth2.102", "root")
    edge.frr.load("router bgp 65010\n no neighbor 10.255.102.1\nexit\n")


@contextmanager
def foreign_objects(bed: Bed) -> Iterator[None]:
    """What somebody else has set up on the router, right beside what dcedge makes."""
    edge = bed.edge
    edge.namespace.ip(
        "link add link eth1 name eth1.999 type vlan id 999",
        # Without a link-local address, which would come in its own time.
        "link set dev eth1.999 addrgenmode none",
        "link set dev eth1.999 up alias by-hand",
        "address add 198.51.100.1/30 dev eth1.999",
        "route add 203.0.113.0/24 via 198.51.100.2",
        "address add 198.51.100.5/30 dev eth2",
    )
    # The kernel says in its own time that a new link is up.
    until("eth1.999", lambda: edge.namespace.run("ip", "-br", "link", "show", "eth1.999").stdout.split()[1] == "UP")
    edge.namespace.run("tc", "qdisc", "add", "dev", "lan0", "root", "handle", "77:", "prio")
    edge.frr.load(
        "route-map BY-HAND permit 10\nexit\n"
        "router bgp 65010\n neighbor 192.0.2.77 remote-as 65077\n neighbor 192.0.2.77 description by hand\n"
        " address-family ipv4 unicast\n  neighbor 192.0.2.77 route-map BY-HAND in\n exit-address-family\nexit\n"
    )
    try:
        yield
    finally:
        edge.frr.load("no router bgp 65010\nno route-map BY-HAND\n")
        edge.namespace.run("tc", "qdisc", "del", "dev", "lan0", "root")
        edge.namespace.ip("link delete dev eth1.999", "address delete 198.51.100.5/30 dev eth2")


def test_what_was_ordered_is_up(running: Bed) -> None:
    facts = running.edge.virtual_interfaces()
    assert {name: facts[name]["verdict"] for name in ORDERED_BPS} == dict.fromkeys(ORDERED_BPS, "up")
    assert {name: facts[name]["interface"] for name in ORDERED_BPS} == LINKS
    assert {name: facts[name]["ordered_bps"] for name in ORDERED_BPS} == ORDERED_BPS
    families = {name: [session["family"] for session in facts[name]["bgp"]] for name in ORDERED_BPS}
    assert families == {"prod-a": ["ipv4"], "prod-b": ["ipv4", "ipv6"], "dev-a": ["ipv4"]}
    for session in (session for name in ORDERED_BPS for session in facts[name]["bgp"]):
        assert session["prefixes"]["accepted"] == 1, session
    for name, link in LINKS.items():
        found = as_json(running.edge.namespace.run("ip", "-j", "link", "show", f"vi-{name}").stdout)[0]
        assert (found["ifname"], found["ifalias"]) == (link, f"dcedge:{name}")


def test_the_clouds_learn_the_lan_and_prefer_the_primary(running: Bed) -> None:
    running.prod.wait_route("10.255.101.2", "192.0.2.0/24")
    running.prod.wait_route("10.255.102.2", "192.0.2.0/24")
    running.prod.wait_route("2001:db8:102::2", "2001:db8:10::/48")
    running.dev.wait_route("10.255.201.2", "192.0.2.0/24")
    chosen = as_json(running.prod.router.run("ip", "-j", "route", "get", "192.0.2.10").stdout)[0]
    assert chosen["dev"] == "prod-a"
    # One cloud's prefixes are never announced to the other.
    assert running.dev.routes("10.255.201.2") == {"192.0.2.0/24"}
    assert running.prod.routes("10.255.101.2") == {"192.0.2.0/24"}


def test_hosts_reach_each_other_each_through_its_own_vlan(running: Bed) -> None:
    host = running.edge.host
    vlans = {"prod-a": (101,), "prod-b": (102,), "dev-a": (201,)}
    hosts = {"prod-a": running.prod.host_address(4), "prod-b": running.prod.host_address(6)}
    hosts["dev-a"] = running.dev.host_address(4)
    with (
        traffic.Capture(running.fibres["fra-1"].cloud) as fra_1,
        traffic.Capture(running.fibres["fra-2"].cloud) as fra_2,
    ):
        for target in hosts.values():
            until(f"an answer from {target}", partial(traffic.reaches, host, target))
    for name, target in hosts.items():
        pair = traffic.between(running.edge.host_address(6 if ":" in target else 4), target)
        seen = {"fra-1": fra_1.vlans(pair), "fra-2": fra_2.vlans(pair)}
        line = running.trunk(name).name
        assert seen == {"fra-1": set(), "fra-2": set()} | {line: {vlans[name]}}, (name, target)


def test_no_secret_is_told(running: Bed) -> None:
    edge = running.edge
    told = [
        edge.log.read_text(),
        *(edge.dcedge(*words).said for words in (("plan",), ("status", "--json"), ("check",))),
    ]
    told.append(edge.namespace.run("curl", "-s", "http://127.0.0.1:9478/metrics", check=False).stdout)
    for secret in PASSWORDS.values():
        assert not [text for text in told if secret in text]


def test_what_is_no_order_changes_nothing(running: Bed) -> None:
    edge, client = running.edge, ControlClient(running.edge.socket)
    before, flaps = router_state(running), sessions(running)
    edge.order.write_text(TWELVE_MISTAKES)
    for verb in ("check", "plan", "apply"):
        outcome = edge.dcedge(verb)
        assert outcome.status == 3, (verb, outcome.said)
        assert len(set(located(outcome.said))) >= 12, outcome.said
    no_orders = {"empty": "", "list": "- one\n- two\n", "broken": "{", "alias": "a: &a [x]\nb: *c\n"}
    for text in (TWELVE_MISTAKES, *no_orders.values(), "x" * 50_000_000):
        if len(text) <= MAX_BODY:
            with pytest.raises(OrderInvalidError):
                client.command("apply", text)
        edge.order.write_text(text)
        edge.reload_daemon()
        said = str(refusal(edge.order))
        until(
            "the daemon to refuse it",
            lambda: edge.status()["order"],
            accept=lambda order, said=said: order["load_failed"] and order["problems"] == said.splitlines(),  # type: ignore[misc]
        )
    assert differences(before, router_state(running)) == {}
    assert sessions(running) == flaps


def test_an_apply_is_handed_to_the_running_daemon(running: Bed) -> None:
    edge, flaps = running.edge, sessions(running)
    edge.order.write_text(ORDER.read_text().replace("bandwidth: 200M", "bandwidth: 150M"))
    outcome = edge.dcedge("apply")
    assert (outcome.status, outcome.stdout.splitlines()[-1][:9]) == (0, "1 of 1 op"), outcome.said
    assert "rate 150Mbit" in shaper(running, "eth2.201")[0]
    assert edge.virtual_interfaces()["dev-a"]["ordered_bps"] == 150_000_000
    assert sessions(running) == flaps


def test_an_order_nobody_confirms_goes_back_even_with_the_daemon_dead(running: Bed) -> None:
    edge, flaps = running.edge, sessions(running)
    before = router_state(running)
    slower = ORDER.read_text().replace("bandwidth: 200M", "bandwidth: 150M")
    for kill in (False, True):
        edge.order.write_text(slower if not kill else slower.replace("bandwidth: 100M", "bandwidth: 90M"))
        outcome = edge.dcedge("apply", "--confirm", "15s")
        assert outcome.status == 0, outcome.said
        assert "rate 150Mbit" in shaper(running, "eth2.201")[0]
        if kill:
            edge.kill_daemon()
        until(
            "the order before to be back",
            lambda: differences(before, router_state(running)),
            60,
            accept=lambda left: not left,
        )
    assert sessions(running) == flaps
    until("that to be noted", (edge.state_dir / "pending.json").exists, accept=lambda there: not there)
    # The file still holds what nobody confirmed: a daemon that starts now does not take it.
    edge.start_daemon()
    status = until("the daemon's first pass", edge.status, accept=lambda seen: seen["pass"]["finished_at"])
    assert status["order"]["load_failed"], status["order"]
    assert differences(before, router_state(running)) == {}


def test_killing_the_daemon_leaves_traffic_and_bgp_alone(running: Bed) -> None:
    edge = running.edge
    target = running.prod.host_address(4)
    until(f"an answer from {target}", lambda: traffic.reaches(edge.host, target))
    before = sessions(running)
    state = router_state(running)
    with traffic.udp_stream(edge.host, running.prod.host, target, packets_per_second=200) as stream:
        edge.kill_daemon()
        edge.start_daemon(forked=False)
        edge.wait_up(*ORDERED_BPS)
    assert stream.sent > 0
    assert (stream.lost, stream.reordered) == (0, 0), stream
    assert sessions(running) == before
    assert pending(running) == []
    assert differences(state, router_state(running)) == {}
    assert edge.status()["pass"]["operations"] == 0


def test_the_running_daemon_repairs_what_a_hand_has_broken(running: Bed) -> None:
    before = router_state(running)
    break_by_hand(running)
    for link in LINKS.values():
        until(f"the shaper of {link}", partial(shaper, running, link), accept=before[f"class {link}"].__eq__)
    until("the neighbour", partial(sessions, running), accept=lambda known: "10.255.102.1" in known)
    until(
        "the router to be as it was",
        lambda: differences(steady(before), steady(router_state(running))),
        accept=lambda left: not left,
    )
    running.wait_up(*ORDERED_BPS)
    assert pending(running) == []


def test_the_plan_names_what_a_hand_has_broken_and_is_empty_after_apply(stopped: Bed) -> None:
    edge = stopped.edge
    break_by_hand(stopped)
    operations = pending(stopped)
    named = {(o["action"], o["kind"], o["name"], *o["affects"]) for o in operations}
    assert named == {
        ("create", "link", "eth1.101", "prod-a"),
        ("create", "address", "10.255.101.2/30 on eth1.101", "prod-a"),
        ("create", "shaper", "eth1.101", "prod-a"),
        ("create", "address", "10.255.201.2/30 on eth2.201", "dev-a"),
        ("change", "shaper", "eth2.201", "dev-a"),
        ("create", "shaper", "eth2.102", "prod-b"),
        ("change", "bgp-session", "prod-b", "prod-b"),
    }
    slowed = next(o for o in operations if o["name"] == "eth2.201")
    assert (slowed["disruption"], "10M -> 200M" in slowed["description"]) == ("none", True), slowed
    assert edge.dcedge("apply").status == 0
    assert pending(stopped) == []
    outcome = edge.dcedge("apply")
    assert (outcome.status, "Nothing to do" in outcome.stdout) == (0, True), outcome.said


@pytest.mark.frr
def test_frrs_own_tool_finds_nothing_to_change(stopped: Bed, tmp_path: Path) -> None:
    edge = stopped.edge
    order = load_order(edge.order).order
    secrets, problems = read_credentials(credentials_of(order), edge.credentials)
    intent = derive(order, Runtime(), secrets, problems, kernel_has=Capabilities())
    # From the order, not from what runs: a line that FRR prints otherwise, or lacks, would show.
    lines = sorted(
        {line for block in blocks_of(intent.frr).values() for line in block.lines if not is_default(line)},
        key=lambda line: (line.path, line.text),
    )
    running = edge.frr.vtysh("show running-config")
    base = re.findall(r"^(?:frr |hostname |service |no ipv6 forwarding|no ip forwarding).*$", running, re.MULTILINE)
    wanted = tmp_path / "frr.conf"
    wanted.write_text("\n".join([*base, render_lines(lines)]))
    wanted.chmod(0o600)
    judged = subprocess.run(
        [str(DAEMON_FOLDER / "frr-reload.py"), "--test", "--stdout", "--pathspace", edge.frr.name, str(wanted)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stderr
    assert "Lines To" not in judged.stdout, judged.stdout


def test_without_frr_the_kernel_part_is_up_and_the_rest_follows(stopped: Bed) -> None:
    edge = stopped.edge
    assert edge.dcedge("purge", "--yes").status == 0
    edge.frr.stop()
    edge.start_daemon()
    status = until("the daemon's first pass", edge.status, accept=lambda seen: seen["pass"]["finished_at"])
    assert status["frr"]["available"] is False
    assert status["frr"]["detail"]
    for name in ORDERED_BPS:
        assert edge.namespace.run("ip", "link", "show", f"vi-{name}").stdout
    assert "FRR" in edge.dcedge("status").stdout
    edge.frr.start()
    stopped.wait_up(*ORDERED_BPS)
    assert edge.status()["frr"]["available"] is True
    assert pending(stopped) == []


def indices(bed: Bed) -> set[int]:
    """The interface indices of the virtual interfaces' links."""
    links = json.loads(bed.edge.namespace.run("ip", "-j", "link").stdout)
    return {link["ifindex"] for link in links if link["ifname"] in LINKS.values()}


def test_links_made_after_a_purge_carry_traffic_at_once(stopped: Bed) -> None:
    """zebra takes a next hop on an interface index it knew minutes ago for one that is still in the kernel."""
    edge = stopped.edge
    assert edge.dcedge("apply").status == 0
    before = indices(stopped)
    assert len(before) == len(LINKS)
    for _ in range(2):
        assert edge.dcedge("purge", "--yes").status == 0
        assert edge.dcedge("apply").status == 0
        stopped.prod.wait_established()
        stopped.dev.wait_established()
        assert not before & indices(stopped), "an interface index is used again"
        before |= indices(stopped)
        until(
            "zebra to have every route in the kernel",
            lambda: edge.frr.json("show ip route bgp json"),
            accept=lambda table: table and all(route.get("installed") for routes in table.values() for route in routes),
        )


def test_a_purge_leaves_the_router_as_found(stopped: Bed) -> None:
    edge = stopped.edge
    assert edge.dcedge("purge", "--yes").status == 0
    with foreign_objects(stopped):
        found = router_state(stopped)
        outcome = edge.dcedge("apply")
        assert outcome.status == 0, outcome.said
        stopped.prod.wait_established()
        assert pending(stopped) == []
        applied = differences(found, router_state(stopped))
        assert {f"link {link}" for link in LINKS.values()} <= applied.keys()
        outcome = edge.dcedge("purge", "--yes")
        assert outcome.status == 0, outcome.said
        # FRR takes its routes out of the kernel in its own time.
        until(
            "the router to be as it was found",
            lambda: differences(found, router_state(stopped)),
            accept=lambda left: not left,
        )
