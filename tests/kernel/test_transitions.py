"""From any order to any other, back again, and through a kill at any moment: the kernel ends as ordered.

In this process and without FRR, so that hundreds of passes take seconds.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcedge.frr.vty import FrrClient
from dcedge.order.load import parse_order
from dcedge.plan.diff import Plan
from dcedge.reconcile.reconciler import Reconciler, purge_intent
from dcedge.reconcile.state.formats import Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.lab.netns import Workspace

PORTS = ("tt1", "tt2")


class Kernel:
    """A network namespace with two ports, and passes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reconciler = Reconciler(Settings(state_dir=folder), Store(folder), FrrClient("none"))

    def fresh(self) -> None:
        """Forget what this process knows, as a new one would."""
        self.reconciler.close()
        self.reconciler = Reconciler(Settings(state_dir=self.folder), Store(self.folder), FrrClient("none"))

    def apply(self, text: str) -> Plan:
        """Carry an order out; what was done. Fails where anything did."""
        result = self.reconciler.run(self.reconciler.intent(parse_order(text, "test").order, Runtime()))
        assert not result.failures, result.failures
        return result.done

    def plan(self, text: str) -> Plan:
        """What an order would still change."""
        return self.reconciler.preview(self.reconciler.intent(parse_order(text, "test").order, Runtime())).plan

    def purge(self) -> None:
        self.reconciler.run(purge_intent(self.reconciler.store.owned()))


def batch(tool: str, *commands: str) -> str:
    """What `ip` or `tc` prints for some commands; options stand before the object. One process a set of options."""
    shown = ""
    for options, of_these in groupby(commands, key=lambda command: re.findall(r"-\w+", command)):
        lines = "".join(re.sub(r"^(-\w+ )+", "", command) + "\n" for command in of_these)
        done = subprocess.run([tool, *options, "-batch", "-"], input=lines, capture_output=True, text=True, check=True)
        shown += done.stdout
    return shown


def state_of_kernel() -> str:
    """All that a user could look at, without indices, counters and what the kernel draws by lot."""
    links = [entry.name for entry in os.scandir("/sys/class/net") if entry.is_dir()]
    shown = batch("ip", "-d -o link", "-o addr", "route show table all proto 220")
    shown += batch("tc", "qdisc", *(f"class show dev {name}" for name in sorted(links)))
    lines = []
    for line in shown.splitlines():
        words = line.split()
        if words and words[0].rstrip(":").isdecimal():
            words = words[1:]
        # An operational state follows a moment after its cause (linkwatch).
        skip = {words.index(word) + 1 for word in ("link/ether", "alias", "state") if word in words}
        kept = [w for i, w in enumerate(words) if i not in skip and not w.startswith("fe80:")]
        lines.append(" ".join(kept).replace(" tentative", ""))
    return "\n".join(sorted(lines))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Workspace() as work:
        namespace = work.namespace("transitions")
        for port in PORTS:
            namespace.ip(f"link add {port} type veth peer name {port}p", f"link set {port}p up", f"link set {port} up")
        before = os.open("/proc/self/ns/net", os.O_RDONLY)
        entered = os.open(f"/run/netns/{namespace.name}", os.O_RDONLY)
        setns(entered)
        try:
            yield Kernel(tmp_path_factory.mktemp("state"))
        finally:
            setns(before)
            os.close(before)
            os.close(entered)


def setns(descriptor: int) -> None:
    """Enter a network namespace (setns(2))."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True)
class Wish:
    """What is ordered of one virtual interface, in the words of the order file."""

    port: str = PORTS[0]
    bandwidth: str = "50M"
    dual_stack: bool = True
    admin: str = "up"
    gateway: str = "prod"  # `red` has a VRF
    static: bool = False


def order_of(vis: Mapping[int, Wish]) -> str:
    """An order of virtual interfaces, by VLAN."""
    lines = ["router: {asn: 65010, router_id: 10.255.0.1}", "connections:"]
    lines += [
        f"  c-{port}: {{provider: generic, port: {port}, bandwidth: 400G, oversubscribe: true}}" for port in PORTS
    ]
    lines += [
        "virtual_gateways:",
        "  prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}",
        "  red: {vpc: red, asn: 64513, accept: [10.20.0.0/16], vrf: red}",
    ]
    lines.append("virtual_interfaces:" + (" {}" if not vis else ""))
    for vlan, wish in vis.items():
        base = int(IPv4Address("172.16.0.0")) + 4 * vlan
        pairs = [f"{{customer: {IPv4Address(base + 2)}/30, cloud: {IPv4Address(base + 1)}}}"]
        if wish.dual_stack:
            pairs.append(f'{{customer: "2001:db8:{vlan:x}::2/126", cloud: "2001:db8:{vlan:x}::1"}}')
        lines.append(
            f"  vi{vlan}: {{connection: c-{wish.port}, virtual_gateway: {wish.gateway}, vlan: {vlan}, "
            f"bandwidth: {wish.bandwidth}, admin: {wish.admin}, addresses: [{', '.join(pairs)}]"
            + (", static: [10.20.0.0/16]}" if wish.static else "}")
        )
    return "\n".join(lines) + "\n"


ORDERS = st.dictionaries(
    st.integers(100, 106),
    st.builds(
        Wish,
        port=st.sampled_from(PORTS),
        bandwidth=st.sampled_from(("2M", "50M", "10G", "40G")),
        dual_stack=st.booleans(),
        admin=st.sampled_from(("up", "down", "planned")),
        gateway=st.sampled_from(("prod", "red")),
        static=st.booleans(),
    ),
    max_size=5,
).map(order_of)


@pytest.mark.sized
def test_any_order_follows_any_other_and_goes_back_exactly(kernel: Kernel, thorough: bool) -> None:
    @settings(max_examples=100 if thorough else 10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(first=ORDERS, second=ORDERS)
    def pairs(first: str, second: str) -> None:
        there_and_back(kernel, first, second)

    pairs()


def there_and_back(kernel: Kernel, first: str, second: str) -> None:
    """Apply one order, another, and the one again."""
    kernel.apply(first)
    before = state_of_kernel()
    there = kernel.plan(second)
    affected = {name for operation in there.operations if operation.disruption != "none" for name in operation.affects}
    kernel.apply(second)
    assert not kernel.plan(second)
    one, two = parse_order(first, "a").order, parse_order(second, "b").order
    unchanged = {
        name
        for name, vi in one.virtual_interfaces.items()
        if two.virtual_interfaces.get(name) == vi and two.connections == one.connections
    }
    assert not unchanged & affected, "something that stays as it is was said to feel the change"
    kernel.apply(first)
    assert state_of_kernel() == before


@pytest.mark.sized
def test_a_kill_at_any_moment_is_made_good_and_nothing_foreign_suffers(kernel: Kernel, thorough: bool) -> None:
    kills, killed = (100, 200) if thorough else (16, 100)
    kernel.purge()
    foreign = [
        "ip link add link tt1 name foreign.7 type vlan id 7",
        "ip link set foreign.7 up alias mine",
        "ip addr add 198.18.7.1/24 dev foreign.7",
        "ip addr add 198.18.8.1/24 dev tt2",
        "tc qdisc add dev foreign.7 root handle 77: tbf rate 10mbit burst 20k latency 50ms",
        "ip route add 198.19.0.0/16 via 198.18.7.2 proto static",
        "nft add table bridge foreign",
        "nft add chain bridge foreign here { type filter hook input priority 0 ; }",
    ]
    for command in foreign:
        subprocess.run(command.split(), check=True)

    def theirs() -> str:
        looked = (
            "ip -d addr show dev foreign.7", "ip addr show dev tt2 scope global", "tc qdisc show dev foreign.7",
            "ip route show proto static", "nft list ruleset",
        )  # fmt: skip
        shown = (subprocess.run(words.split(), capture_output=True, text=True, check=True).stdout for words in looked)
        # An operational state follows a moment after its cause (linkwatch).
        return re.sub(r" tentative| state \w+", "", "".join(shown))

    before = theirs()
    vis = {vlan: Wish(PORTS[vlan % 2]) for vlan in range(200, 200 + killed)}
    full, half = order_of(vis), order_of({vlan: vi for vlan, vi in vis.items() if vlan % 2})
    started = time.monotonic()
    kernel.apply(full)
    whole_pass = time.monotonic() - started
    kernel.apply(order_of({}))
    rng = random.Random(7)
    interrupted = 0
    for round_ in range(kills):
        text = full if round_ % 2 == 0 else half
        child = os.fork()
        if child == 0:
            try:
                kernel.fresh()
                kernel.apply(text)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, whole_pass))
        os.kill(child, signal.SIGKILL)
        interrupted += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        kernel.fresh()
        kernel.apply(text)
        assert not kernel.plan(text), f"the start after kill {round_} does not converge"
    assert interrupted > kills // 4, "too few kills came in time to prove anything"
    assert theirs() == before
    kernel.fresh()
    kernel.purge()
    assert theirs() == before
    left = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "dcedge:" not in left
    assert "vi-vi" not in left
    for command in ("ip link del foreign.7", "ip addr del 198.18.8.1/24 dev tt2", "nft delete table bridge foreign"):
        subprocess.run(command.split(), check=True)


def test_a_lost_state_folder_costs_nothing(kernel: Kernel) -> None:
    text = order_of({301: Wish()})
    kernel.apply(text)
    shutil.rmtree(kernel.folder)
    kernel.fresh()
    assert not kernel.plan(text)
    kernel.apply(order_of({}))
    assert "tt1.301" not in subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout


def test_rollback_is_the_plan_with_its_arguments_swapped(kernel: Kernel) -> None:
    one, other = ({301: Wish()}, {301: Wish(bandwidth="200M", dual_stack=False)})
    kernel.apply(order_of(one))
    before = state_of_kernel()
    kernel.apply(order_of(other))
    back = kernel.plan(order_of(one))
    assert [(operation.action, str(operation.key)) for operation in back.operations] == [
        ("create", "address 2001:db8:12d::2/126 on tt1.301"),
        ("change", "shaper tt1.301"),
    ]
    kernel.apply(order_of(one))
    assert state_of_kernel() == before


def test_plan_is_pure(kernel: Kernel) -> None:
    text = order_of({302: Wish("tt2")})
    before = state_of_kernel()
    assert kernel.plan(text)
    assert kernel.plan(text) == kernel.plan(text)
    assert state_of_kernel() == before
