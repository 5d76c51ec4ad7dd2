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

from dcedge.bgp.config import Line, render_lines
from dcedge.bgp.delta import blocks_of
from dcedge.credentials import read_credentials
from dcedge.intent import credentials_of, derive
from dcedge.order.load import load_order
from dcedge.store import Runtime
from tests.lab import traffic
from tests.lab.bed import ORDER, ORDERED_BPS, PASSWORDS, Bed
from tests.lab.frr import DAEMON_FOLDER
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

    def ask(*words: str) -> Any:
        return as_json(edge.namespace.run(*words).stdout)

    state: dict[str, object] = {}
    for link in ask("ip", "-j", "-d", "address", "show"):
        for address in link["addr_info"]:
            for passing in ("valid_life_time", "preferred_life_time", "tentative"):
                address.pop(passing, None)
        state[f"link {link['ifname']}"] = link
        state[f"qdisc {link['ifname']}"] = ask("tc", "-j", "qdisc", "show", "dev", link["ifname"])
        state[f"class {link['ifname']}"] = shaper(bed, link["ifname"])
    for family in ("-4", "-6"):
        for route in ask("ip", "-j", family, "route", "show", "table", "all"):
            state[f"route {family} {json.dumps(route, sort_keys=True)}"] = True
    for name in EVERY_SYSCTL:
        state[f"sysctl {name}"] = edge.namespace.call(Path("/proc/sys/net", name).read_text)
    if frr:
        state["frr"] = edge.frr.vtysh("show running-config")
    return state


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


def is_default(line: Line) -> bool:
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
    said = bed.edge.namespace.run("tc", "class", "show", "dev", link, check=False).stdout
    return [line for line in said.splitlines() if line.startswith("class htb")]


def slow_down(bed: Bed, link: str) -> None:
    """Change a shaper's rate by hand."""
    handle = shaper(bed, link)[0].split()[2]
    bed.edge.namespace.run("tc", "class", "change", "dev", link, "classid", handle, "htb", "rate", "10mbit")


@contextmanager
def foreign_objects(bed: Bed) -> Iterator[None]:
    """What somebody else has set up on the router, right beside what dcedge makes."""
    edge = bed.edge
    edge.namespace.ip(
        "link add link eth1 name eth1.999 type vlan id 999",
        "link set dev eth1.999 up alias by-hand",
        "address add 198.51.100.1/30 dev eth1.999",
        "route add 203.0.113.0/24 via 198.51.100.2",
        "address add 198.51.100.5/30 dev eth2",
    )
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


def test_a_second_writer_is_refused(running: Bed) -> None:
    second = running.edge.dcedge("run", timeout=30)
    assert second.status == 1
    assert "Traceback" not in second.said
    assert running.edge.running


def test_no_secret_is_told(running: Bed) -> None:
    edge = running.edge
    told = [
        edge.log.read_text(),
        *(edge.dcedge(*words).said for words in (("plan",), ("status", "--json"), ("check",))),
    ]
    told.append(edge.namespace.run("curl", "-s", "http://127.0.0.1:9478/metrics", check=False).stdout)
    for secret in PASSWORDS.values():
        assert not [text for text in told if secret in text]


def test_twelve_mistakes_give_twelve_places_and_change_nothing(running: Bed) -> None:
    edge = running.edge
    before, flaps = router_state(running), sessions(running)
    edge.order.write_text(TWELVE_MISTAKES)
    for verb in ("check", "plan", "apply"):
        outcome = edge.dcedge(verb)
        assert outcome.status == 3, (verb, outcome.said)
        assert len(set(located(outcome.said))) >= 12, outcome.said
    edge.reload_daemon()
    until(
        "the daemon to refuse it",
        lambda: edge.status().get("order", {}),
        accept=lambda order: order.get("load_failed"),
    )
    assert differences(before, router_state(running)) == {}
    assert sessions(running) == flaps


def test_killing_the_daemon_leaves_traffic_and_bgp_alone(running: Bed) -> None:
    edge = running.edge
    target = running.prod.host_address(4)
    until(f"an answer from {target}", lambda: traffic.reaches(edge.host, target))
    before = sessions(running)
    state = router_state(running)
    with traffic.udp_stream(edge.host, running.prod.host, target, packets_per_second=200) as stream:
        edge.kill_daemon()
        assert edge.dcedge("status").status == 4
        assert pending(running) == []
        edge.start_daemon()
        edge.wait_up(*ORDERED_BPS)
    assert stream.sent > 0
    assert (stream.lost, stream.reordered) == (0, 0), stream
    assert sessions(running) == before
    assert pending(running) == []
    assert differences(state, router_state(running)) == {}
    assert edge.status()["pass"]["operations"] == 0


def test_the_running_daemon_repairs_what_a_hand_has_broken(running: Bed) -> None:
    edge = running.edge
    before = shaper(running, "eth2.201")
    slow_down(running, "eth2.201")
    edge.namespace.ip("link delete dev eth1.101")
    until(
        "the link to be back",
        lambda: edge.namespace.run("ip", "-br", "address", "show", "dev", "eth1.101", check=False).stdout,
        accept=lambda said: "10.255.101.2/30" in said,
    )
    until(
        "the shaper to be right again",
        lambda: shaper(running, "eth2.201"),
        accept=lambda now: now == before,
    )
    running.wait_up(*ORDERED_BPS)
    assert pending(running) == []


def test_the_plan_is_empty_after_apply(stopped: Bed) -> None:
    assert pending(stopped) == []
    outcome = stopped.edge.dcedge("apply")
    assert (outcome.status, "Nothing to do" in outcome.stdout) == (0, True), outcome.said


@pytest.mark.frr
def test_frrs_own_tool_finds_nothing_to_change(stopped: Bed, tmp_path: Path) -> None:
    edge = stopped.edge
    order = load_order(edge.order).order
    secrets, problems = read_credentials(credentials_of(order), edge.credentials)
    intent = derive(order, Runtime(), secrets, problems, fq_codel=True)
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


def test_a_link_deleted_by_hand_is_named_by_the_plan_and_put_back(stopped: Bed) -> None:
    edge = stopped.edge
    edge.namespace.ip("link delete dev eth1.101")
    operations = pending(stopped)
    assert {operation["kind"] for operation in operations} <= {"link", "address", "shaper", "sysctl"}
    assert [operation["affects"] for operation in operations] == [["prod-a"]] * len(operations)
    assert ("create", "link", "eth1.101") in [(o["action"], o["kind"], o["name"]) for o in operations]
    assert all("eth1.101" in operation["name"] for operation in operations), operations
    assert edge.dcedge("apply").status == 0
    assert pending(stopped) == []


def test_a_shaper_changed_by_hand_is_named_by_the_plan_and_put_back(stopped: Bed) -> None:
    edge = stopped.edge
    slow_down(stopped, "eth2.201")
    operations = pending(stopped)
    assert [(o["action"], o["kind"], o["affects"]) for o in operations] == [("change", "shaper", ["dev-a"])]
    assert operations[0]["disruption"] == "none"
    assert "200M" in operations[0]["description"]
    assert edge.dcedge("apply").status == 0
    assert pending(stopped) == []


def test_what_is_no_order_changes_nothing(stopped: Bed) -> None:
    before = router_state(stopped)
    no_orders = {"empty": "", "list": "- one\n- two\n", "broken": "{", "alias": "a: &a [x]\nb: *a\n", "nul": "\x00"}
    for kind, text in no_orders.items():
        stopped.edge.order.write_text(text)
        outcome = stopped.edge.dcedge("apply")
        assert outcome.status == 3, (kind, outcome.said)
        assert "Traceback" not in outcome.said, (kind, outcome.said)
    assert differences(before, router_state(stopped)) == {}


def test_every_verb_says_how_it_ended(stopped: Bed) -> None:
    edge = stopped.edge
    statuses = {verb: edge.dcedge(*verb.split()).status for verb in ("check", "plan", "apply", "status", "schema")}
    assert statuses == {"check": 0, "plan": 0, "apply": 0, "status": 4, "schema": 0}
    edge.order.write_text(ORDER.read_text().replace("bandwidth: 50M", "bandwidth: 60M"))
    assert edge.dcedge("plan").status == 2
    edge.order.unlink()
    assert edge.dcedge("check").status == 3
    edge.order.write_text(ORDER.read_text())
    edge.start_daemon()
    assert edge.dcedge("status").status == 0
    assert edge.dcedge("apply").status == 0
    assert edge.dcedge("purge", "--yes").status == 1, "the daemon runs"
    assert edge.dcedge("no-such-verb").status not in {0, 3, 4}


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
