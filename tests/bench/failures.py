"""What a failing path or a failing FRR costs: seconds without traffic, and until all of ours is there again."""

from __future__ import annotations

import signal
import time

from tests.bench.cases import Report
from tests.lab.frr import written
from tests.lab.paths import BACKUP, DETECTION_SECONDS, PRIMARY, Paths
from tests.lab.wait import until

FAILURES = 3
FOREIGN = "ip prefix-list by-hand seq 5 permit 10.0.0.0/8\n"


def failures(report: Report) -> None:
    """On two paths with BFD: each way of failing, FRR's returns, and a repair while FRR stands still."""
    with Paths() as paths:
        paths.order()
        failover(report, paths)
        returns(report, paths)
        wedged(report, paths)


def failover(report: Report, paths: Paths) -> None:
    """How long traffic stands still when the primary fails in each way: the worst of several times."""
    fibre = paths.spans[PRIMARY]
    silent: list[float] = []
    half_silent: list[float] = []
    dark: list[float] = []
    for _ in range(FAILURES):
        for figures, failure, repair in (
            (silent, fibre.silence, fibre.speak),
            (half_silent, lambda: fibre.silence(to_customer=False), fibre.speak),
            (dark, fibre.cut, fibre.splice),
        ):
            paths.wait_up(PRIMARY, BACKUP)
            figures.append(max(paths.outage(failure, repair).values()) * 1000)
    paths.wait_up(PRIMARY, BACKUP)
    detection = DETECTION_SECONDS * 1000
    for case, figures in (("bfd", silent), ("bfd-one-way", half_silent), ("carrier", dark)):
        report.add(f"failover-{case}", max(figures), detection, "BFD's detection time, 300 ms x 3", "ms")


def returns(report: Report, paths: Paths) -> None:
    """Seconds from FRR's return until all of ours is configured again: killed, emptied, with somebody else's saved."""
    edge, frr = paths.edge, paths.edge.frr

    def ours() -> set[str]:
        return written(frr.vtysh("show running-config"))

    paths.wait_up(PRIMARY, BACKUP)
    before = ours()

    def back(case: str) -> None:
        started = time.perf_counter()
        until("FRR to be configured again", lambda: before - ours(), accept=lambda left: not left)
        report.add(f"frr-back-{case}", time.perf_counter() - started)

    frr.stop_daemon("bgpd", signal.SIGKILL)
    frr.start_daemon("bgpd")
    back("bgpd-killed")
    for case, saved in (("emptied", ""), ("foreign", FOREIGN)):
        frr.kill()
        until("the daemon to say so", edge.status, accept=lambda seen: not seen["frr"]["available"])
        frr.saved = saved
        frr.boot()
        back(case)


def wedged(report: Report, paths: Paths) -> None:
    """Seconds until a lost address is back while a daemon of FRR's stands still: the worst of the three."""
    namespace = paths.edge.namespace
    took = []
    for daemon in ("bgpd", "zebra", "bfdd"):
        paths.wait_up(PRIMARY, BACKUP)
        paths.edge.frr.signal_daemon(daemon, signal.SIGSTOP)
        try:
            started = time.perf_counter()
            namespace.ip("address del 10.255.101.2/30 dev eth1")
            until(
                "the address", lambda: "10.255.101.2/30" in namespace.run("ip", "address", "show", "dev", "eth1").stdout
            )
            took.append(time.perf_counter() - started)
        finally:
            paths.edge.frr.signal_daemon(daemon, signal.SIGCONT)
    report.add("repair-frr-wedged", max(took))
