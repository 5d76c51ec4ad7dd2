"""FRR's part at scale: a thousand BGP peers, each on a port of its own, against frr-reload.py and Debian's exporter.

Native, in namespaces. `ours` is a whole pass over FRR's side: derive, read, compare, plan, write, read back, look for
every key in the kernel, save. The cloud is a BIRD. The references do the same work on the same FRR in the same run.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from dcedge.frr.render import derive_frr
from dcedge.frr.resources import FrrBlock
from dcedge.frr.vty import FrrClient
from dcedge.kernel.sysctl.limits import kernel_limits
from dcedge.order.credentials import Secret
from dcedge.order.load import parse_order
from dcedge.order.model import Credential, Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.plan.diff import Plan
from dcedge.plan.resource import Key
from dcedge.reconcile import memory
from dcedge.reconcile.desired import NOTHING, Later
from dcedge.reconcile.frr_saving import SETTLED_SECONDS
from dcedge.reconcile.frr_sync import FrrSync
from dcedge.reconcile.state.store import Store
from tests.bench.cases import Report
from tests.bench.failures import failures
from tests.lab.frr import DAEMON_FOLDER, Frr
from tests.lab.netns import Namespace, Workspace, leave_on_signals
from tests.lab.wait import until

COUNT = int(os.environ.get("BENCH_PEERS", "1000"))
SMALL, REMOVED = 100, 50
FEW_ACCEPTED, MANY_ACCEPTED = 300, 2000
REPEATS = 5
SECRET = "Eschersheim-1000"
ROOT = Path(__file__).resolve().parents[2]
RELOAD, EXPORTER = "frr-reload.py --reload", "prometheus-frr-exporter"
EXPORTER_PORT = 19342
PATIENCE_SECONDS = 120.0
RELOAD_SECONDS_MAX = 120.0


def addresses(number: int) -> tuple[str, str]:
    """Customer's and cloud's address on that port, a /30."""
    base = int(IPv4Address("172.16.0.0")) + 4 * number
    return str(IPv4Address(base + 2)), str(IPv4Address(base + 1))


def order_text(numbers: Collection[int], *, receive_limit: Mapping[int, int] | None = None, accepted: int = 1) -> str:
    """An order of those virtual interfaces, a primary and a backup a gateway, one untagged on each port.

    `accepted` is how many prefixes a gateway may announce.
    """
    lines = ["router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}", "connections:"]
    lines += [f"  c{n}: {{provider: generic, port: e{n}, bandwidth: 1G}}" for n in numbers]
    lines.append("virtual_gateways:")
    more = "".join(f", 172.{16 + (n >> 8)}.{n & 255}.0/24" for n in range(accepted - 1))
    lines += [
        f"  g{g}: {{vpc: g{g}, asn: 64512, accept: [10.{g >> 8}.{g & 255}.0/24{more}]}}"
        for g in sorted({n // 2 for n in numbers})
    ]
    lines.append("virtual_interfaces:")
    for n in numbers:
        customer, cloud = addresses(n)
        lines.append(
            f"  v{n}: {{connection: c{n}, virtual_gateway: g{n // 2}, vlan: 0, bandwidth: 50M, "
            f"preference: {'backup' if n % 2 else 'primary'}, "
            f"addresses: [{{customer: {customer}/30, cloud: {cloud}}}], "
            f"bgp: {{password: {{credential: k}}, receive_limit: {(receive_limit or {}).get(n, 100)}}}}}"
        )
    return "\n".join(lines) + "\n"


@dataclass
class Ordered:
    """An order with what it resolves to."""

    order: Order
    interfaces: tuple[ResolvedInterface, ...]

    @classmethod
    def parse(cls, text: str) -> Ordered:
        """Read and resolve it, as the daemon does."""
        with memory.building():
            order = parse_order(text, "bench").order
            return cls(order, tuple(resolve_interface(order, name) for name in order.virtual_interfaces))

    def same_as(self, other: Ordered) -> set[str]:
        """The virtual interfaces that are alike in another order, as the daemon knows them from reading its file."""
        before = {interface.name: interface for interface in other.interfaces}
        return {interface.name for interface in self.interfaces if before.get(interface.name) == interface}


class Clocked(FrrClient):
    """A client that adds up the seconds that it waits for FRR."""

    waited = 0.0
    fed = 0.0  # of that, while it took configuration lines

    def ask(self, daemon: str, command: str, *, timeout: float | None = None) -> str:
        with self._waiting():
            return super().ask(daemon, command, timeout=timeout)

    def apply(self, text: str) -> None:
        before = self.waited
        with self._waiting():
            super().apply(text)
        self.fed += self.waited - before

    def write_config(self) -> None:
        with self._waiting():
            super().write_config()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        started, before = time.perf_counter(), self.waited
        try:
            yield
        finally:
            self.waited = before + time.perf_counter() - started


class Ours:
    """FRR's part of the agent, which remembers its last intent as the daemon does. To be called in the namespace."""

    def __init__(self, client: Clocked, folder: Path) -> None:
        self.store = Store(folder)
        self.part = FrrSync(client, self.store)
        self.intent: Mapping[Key, FrrBlock] = {}

    def apply(self, ordered: Ordered, unchanged: Collection[str] = ()) -> Plan:
        """One pass; returns what was done. Fails where FRR is not as ordered afterwards, each key in force.

        `unchanged` names what is as at the last pass.
        """
        secrets = {Credential(credential="k"): Secret(SECRET)}
        wanted = derive_frr(ordered.interfaces, ordered.order.router, secrets, unchanged=unchanged, before=self.intent)
        self.intent = wanted
        intent = replace(NOTHING, later_frr=Later(lambda: wanted))
        self.part.observe(intent, self.store.owned())
        todo = self.part.plan(intent)
        failures = []
        if todo:
            self.store.save_owned(self.part.remembered(intent, self.store.owned()))
            failures = self.part.execute(todo.operations, ())
        failures = self.part.settle(intent, todo, failures)
        assert not failures, failures[0].text
        assert not self.part.warnings(), self.part.warnings()
        return todo


@dataclass(frozen=True)
class Reloaded:
    """How long frr-reload.py took; `stopped`: so long it was let, and it was not done."""

    seconds: float
    stopped: bool = False


class Router:
    """The edge: a namespace with its ports, and an FRR."""

    def __init__(self, work: Workspace, count: int) -> None:
        self.work = work
        self.namespace = work.namespace("edge")
        self.frr = Frr(f"{work.token}-bench", self.namespace.name, max_fds=4 * count + 200)
        work.at_end(self.frr.stop)
        self.client = Clocked(self.frr.name, timeout=60)
        work.at_end(self.client.close)

    def empty(self) -> Ours:
        """An agent on an FRR without configuration, and old enough that the agent has it save what it is given."""
        self.frr.stop()
        self.frr.start()
        until(
            "FRR to have run for a while", self.client.age, accept=lambda age: age is not None and age > SETTLED_SECONDS
        )
        folder = self.work.folder / "state"
        shutil.rmtree(folder, ignore_errors=True)
        return Ours(self.client, folder)

    def timed(self, action: Callable[..., object], *arguments: object) -> float:
        """Seconds that an action takes in the router's namespace."""
        return self.namespace.call(timed, action, *arguments)

    def config(self, name: str) -> Path:
        """What runs now as a file, which frr-reload.py can be told to come back to."""
        path = self.work.folder / name
        path.touch(mode=0o600)
        path.write_text(self.frr.vtysh("show running-config").split("Current configuration:")[1])
        return path

    def reload(self, how: str, config: Path) -> Reloaded:
        """Have frr-reload.py do it; it is stopped where it takes longer than anybody would wait."""
        command = [str(DAEMON_FOLDER / "frr-reload.py"), how, "--pathspace", self.frr.name, str(config)]
        if how == "--reload":
            command.append("--overwrite")
        try:
            return Reloaded(timed(self.namespace.run, *command, timeout=RELOAD_SECONDS_MAX))
        except subprocess.TimeoutExpired:
            return Reloaded(RELOAD_SECONDS_MAX, stopped=True)


def timed(action: Callable[..., object], *arguments: object, **options: object) -> float:
    """Seconds that an action takes."""
    gc.collect()
    started = time.perf_counter()
    action(*arguments, **options)
    return time.perf_counter() - started


def median(figures: Collection[float]) -> float:
    """The middle one."""
    return sorted(figures)[len(figures) // 2]


def raise_limits(edge: Namespace, interfaces: Collection[ResolvedInterface]) -> Callable[[], None]:
    """What the order asks of the kernel; the neighbour table is one for all namespaces. Returns what puts it back."""
    shared: dict[Path, str] = {}
    pairs = sum(len(interface.addresses) for interface in interfaces)
    for setting in kernel_limits(pairs, sum(interface.keys for interface in interfaces)):
        path = Path("/proc/sys", setting.path)
        if "/neigh/" in setting.path:
            before = path.read_text()
            if int(before) < 2 * setting.value:  # both ends are on this machine
                shared[path] = before
                path.write_text(str(2 * setting.value))
        else:
            edge.call(path.write_text, str(setting.value))

    def restore() -> None:
        for path, before in shared.items():
            path.write_text(before)

    return restore


def lay_fibres(edge: Namespace, cloud: Namespace, count: int) -> None:
    """One port a peer, addresses on both ends."""
    edge.ip(*(f"link add name e{n} type veth peer name c{n} netns {cloud.name}" for n in range(count)))
    for namespace, letter, end in ((edge, "e", 0), (cloud, "c", 1)):
        namespace.ip(
            *(
                line
                for n in range(count)
                for line in (f"address add {addresses(n)[end]}/30 dev {letter}{n}", f"link set dev {letter}{n} up")
            )
        )


def start_bird(work: Workspace, cloud: Namespace, count: int) -> None:
    """The cloud: a session with every customer's address, one prefix announced."""
    parts = [
        "router id 10.255.255.1;",
        "protocol device { }",
        "protocol static { ipv4; route 10.0.0.0/24 blackhole; }",
        f'template bgp customer {{ local as 64512; password "{SECRET}"; hold time 240; '
        "connect delay time 1; connect retry time 5; error wait time 1, 4; "
        "ipv4 { import all; export where source = RTS_STATIC; }; }",
    ]
    for n in range(count):
        customer, own = addresses(n)
        parts.append(f"protocol bgp p{n} from customer {{ local {own} as 64512; neighbor {customer} as 65010; }}")
    config = work.folder / "bird.conf"
    config.write_text("\n".join(parts) + "\n")
    cloud.call(Path("/proc/sys/net/core/optmem_max").write_text, str(8 << 20))
    cloud.popen("bird", "-f", "-c", str(config), "-s", str(work.folder / "bird.ctl"), log=work.folder / "bird.log")


@contextlib.contextmanager
def exporter(router: Router) -> Iterator[Callable[[], float]]:
    """Debian's exporter on the router; what it yields makes one scrape and says the seconds."""
    subprocess.run([str(ROOT / "tests/lab/install-packages"), EXPORTER], check=True, cwd=ROOT)
    process = router.namespace.popen(
        *("prometheus-frr-exporter", f"--frr.socket.dir-path={router.frr.sockets}", "--web.listen-address"),
        f"127.0.0.1:{EXPORTER_PORT}",
        log=router.work.folder / "exporter.log",
    )

    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{EXPORTER_PORT}/metrics", timeout=60) as answer:
            text: str = answer.read().decode()
            return text

    def listening() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", EXPORTER_PORT), 1):
            return True
        return False

    def scrape() -> float:
        started = time.perf_counter()
        text = router.namespace.call(fetch)
        elapsed = time.perf_counter() - started
        assert text.count("\nfrr_bgp_peer_state{") >= COUNT, text[-2000:]
        return elapsed

    try:
        until("the exporter to listen", lambda: router.namespace.call(listening))
        yield scrape
    finally:
        process.terminate()


def wait_all_up(router: Router) -> None:
    """Wait until every session is Established; before that bgpd has other things to do than to answer."""
    until("all to come up", lambda: sessions_up(router), PATIENCE_SECONDS, accept=lambda number: number == COUNT)


def sessions_up(router: Router) -> int:
    """How many sessions are Established."""
    return sum(session.up for session in router.client.sessions())


def against_reload(report: Report, case: str, ours: float, theirs: Reloaded, name: str = RELOAD) -> None:
    """Enter ours against frr-reload.py's, which may have been stopped."""
    report.add(case, ours, theirs.seconds, name, at_least=theirs.stopped)


def writes(report: Report, router: Router) -> None:
    """First configuration; then, with every session up, nothing to do, one changed, one removed.

    Whole against whole: ours is from the order to the last answer of FRR's, its own waiting included, as
    frr-reload.py's is. `change-one-agent` says how much of it the agent spends itself, `read-order` what reading the
    order from its file takes before.
    """
    report.add(f"read-order-{COUNT}", timed(Ordered.parse, order_text(range(COUNT))))
    everything = Ordered.parse(order_text(range(COUNT)))
    changed = [Ordered.parse(order_text(range(COUNT), receive_limit={7: 200 + round_})) for round_ in range(REPEATS)]
    fewer = Ordered.parse(order_text([n for n in range(COUNT) if n != 7]))
    ours = router.empty()
    configuring = router.timed(ours.apply, everything)
    config = router.config("everything")
    router.empty()
    against_reload(report, f"configure-{COUNT}", configuring, router.reload("--reload", config))
    wait_all_up(router)
    everyone = everything.same_as(everything)
    doing_nothing = median([router.timed(ours.apply, everything, everyone) for _ in range(REPEATS)])
    against_reload(report, f"noop-{COUNT}", doing_nothing, router.reload("--test", config), "frr-reload.py --test")
    whole, agents = [], []
    before = everything
    for order in changed:
        router.client.waited = 0.0
        whole.append(router.timed(ours.apply, order, order.same_as(before)))
        before = order
        agents.append(whole[-1] - router.client.waited)
    against_reload(report, f"change-one-{COUNT}", median(whole), router.reload("--reload", config))
    report.add(f"change-one-{COUNT}-agent", median(agents))
    removing = router.timed(ours.apply, fewer, fewer.same_as(before))
    config = router.config("fewer")
    router.namespace.call(ours.apply, everything)
    against_reload(report, f"remove-one-{COUNT}", removing, router.reload("--reload", config))


def removal(report: Report, router: Router) -> None:
    """Fifty of a hundred."""
    hundred = Ordered.parse(order_text(range(SMALL)))
    fifty = Ordered.parse(order_text(range(0, SMALL, SMALL // REMOVED)))
    ours = router.empty()
    router.namespace.call(ours.apply, hundred)
    removing = router.timed(ours.apply, fifty, fifty.same_as(hundred))
    config = router.config("fifty")
    router.namespace.call(ours.apply, hundred)
    against_reload(report, f"remove-{REMOVED}-of-{SMALL}", removing, router.reload("--reload", config))


def accept_lists(report: Report, router: Router) -> None:
    """A list of accepted prefixes becomes longer, and short again, against what FRR itself takes for those lines.

    That is the time in which bgpd works on them, in pieces that keep nobody waiting; for all at once it takes longer,
    and answers nobody meanwhile.
    """
    few, many = (Ordered.parse(order_text((0, 1), accepted=count)) for count in (FEW_ACCEPTED, MANY_ACCEPTED))
    ours = router.empty()
    router.namespace.call(ours.apply, few)
    for name, order in ((f"accept-{FEW_ACCEPTED}-to-{MANY_ACCEPTED}", many), ("and-back", few)):
        router.client.fed = 0.0
        whole = router.timed(ours.apply, order)
        report.add(name, whole, router.client.fed, "FRR's own time for the lines")


def reads(report: Report, router: Router, cloud: Namespace) -> None:
    """All sessions with MD5 up, and their state read."""
    everything = Ordered.parse(order_text(range(COUNT)))
    router.work.at_end(raise_limits(router.namespace, everything.interfaces))
    lay_fibres(router.namespace, cloud, COUNT)
    start_bird(router.work, cloud, COUNT)
    ours = router.empty()
    started = time.perf_counter()
    router.namespace.call(ours.apply, everything)
    wait_all_up(router)
    report.add(f"up-{COUNT}", time.perf_counter() - started)
    report.add(f"established-{COUNT}", sessions_up(router), COUNT, "sessions ordered", "sessions")
    with exporter(router) as scrape:
        scrape()
        reference = median([scrape() for _ in range(REPEATS)])
    mine = median([timed(router.client.sessions) for _ in range(REPEATS)])
    report.add(f"read-{COUNT}", mine, reference, f"{EXPORTER}'s scrape")


def main() -> None:
    """Run it all."""
    leave_on_signals()
    memory.prepare()
    report = Report("bgp")
    with Workspace() as work:
        router = Router(work, COUNT)
        cloud = work.namespace("cloud")
        reads(report, router, cloud)
        writes(report, router)
        removal(report, router)
        accept_lists(report, router)
    failures(report)
    report.write()


if __name__ == "__main__":
    main()
