"""FRR under the running daemon: killed, emptied, configured by others, wedged, restarted while the daemon is away."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.bed import ORDER, ORDERED_BPS, Bed
from tests.lab.frr import written
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)

PEERS = {"prod-a": "10.255.101.1", "prod-b": "10.255.102.1", "dev-a": "10.255.201.1"}
OPTION_MEMORY = Path("/proc/sys/net/core/optmem_max")  # one for all namespaces before Linux 6.7
FOREIGN = """\
router bgp 65010
 bgp router-id 10.255.0.1
 neighbor 192.0.2.77 remote-as 65077
 neighbor 192.0.2.77 description by hand
exit
ip prefix-list by-hand seq 5 permit 10.0.0.0/8
"""


def configured(bed: Bed) -> str:
    """FRR's running configuration."""
    return bed.edge.frr.vtysh("show running-config")


def as_before(bed: Bed, before: set[str]) -> None:
    """Wait until FRR has all that it had before."""
    until("FRR to be configured again", lambda: before - written(configured(bed)), accept=lambda left: not left)


@contextmanager
def wedged(bed: Bed, daemon: str) -> Iterator[None]:
    """One of FRR's daemons, stopped in its tracks."""
    bed.edge.frr.signal_daemon(daemon, signal.SIGSTOP)
    try:
        yield
    finally:
        bed.edge.frr.signal_daemon(daemon, signal.SIGCONT)


def test_a_frr_that_was_killed_has_all_again_after_its_return(running: Bed) -> None:
    frr, before = running.edge.frr, written(configured(running))
    frr.stop_daemon("bgpd", signal.SIGKILL)
    frr.start_daemon("bgpd")
    as_before(running, before)
    for saved in ("", FOREIGN):
        frr.kill()
        until("the daemon to say so", running.edge.status, accept=lambda seen: not seen["frr"]["available"])
        frr.saved = saved
        frr.boot()
        as_before(running, before)
    assert "neighbor 192.0.2.77 description by hand" in configured(running)
    assert "ip prefix-list by-hand seq 5 permit 10.0.0.0/8" in configured(running)
    until("what the operator had saved", lambda: frr.saved, accept=lambda text: "by hand" in text)
    running.wait_up(*ORDERED_BPS)
    until("our part to be saved beside it", lambda: before - written(frr.saved), accept=lambda left: not left)
    assert "neighbor 192.0.2.77 description by hand" in frr.saved
    frr.load("no ip prefix-list by-hand\nrouter bgp 65010\n no neighbor 192.0.2.77\nexit\n")


def test_ipv6_comes_back_with_frr_though_somebody_flushed_every_address_before(running: Bed) -> None:
    # FRR sets no IPv6 session up on a link without a link-local address, which the kernel makes only once.
    frr, flushed = running.edge.frr, ("ip", "-6", "address", "flush", "dev", "eth2.102")
    running.edge.namespace.run(*flushed)
    until(
        "both addresses of eth2.102",
        lambda: running.edge.namespace.run("ip", "-6", "-o", "address", "show", "dev", "eth2.102").stdout,
        accept=lambda shown: "2001:db8:102::2/126" in shown and "inet6 fe80::" in shown,
    )
    frr.kill()
    until("the daemon to say so", running.edge.status, accept=lambda seen: not seen["frr"]["available"])
    frr.boot()
    running.wait_up("prod-b")


@pytest.mark.parametrize(
    ("daemon", "link", "address"),
    [
        ("bgpd", "eth1.101", "10.255.101.2/30"),
        ("zebra", "eth2.201", "10.255.201.2/30"),
        ("bfdd", "eth2.102", "10.255.102.2/30"),
    ],
)
def test_a_wedged_daemon_of_frrs_is_said_and_holds_up_nothing(
    running: Bed, daemon: str, link: str, address: str
) -> None:
    edge = running.edge

    def repaired() -> None:
        edge.namespace.ip(f"link delete dev {link}")
        until(
            "the link to be made again",
            lambda: edge.namespace.run("ip", "-br", "address", "show", "dev", link, check=False).stdout,
            accept=lambda said: address in said,
        )

    with wedged(running, daemon):
        repaired()
        until(
            "the daemon to say so",
            edge.status,
            accept=lambda seen: f"{daemon} does not answer" in seen["frr"]["detail"],
        )
        repaired()
        assert edge.running
    running.wait_up(*ORDERED_BPS)
    until("a complete pass", edge.status, accept=lambda seen: seen["frr"]["available"] and not seen["pass"]["failing"])


def test_a_wedged_daemon_that_is_not_needed_is_said_and_holds_up_no_change(running: Bed) -> None:
    edge = running.edge
    edge.frr.start_daemon("staticd")
    try:
        with wedged(running, "staticd"):
            until(
                "the daemon to say so",
                lambda: edge.status()["pass"]["notes"],
                accept=lambda notes: any(note.startswith("staticd does not answer") for note in notes),
            )
            text = ORDER.read_text().replace("accept: [10.30.0.0/16]", "accept: [10.30.0.0/16, 10.31.0.0/16]")
            edge.order.write_text(text)
            done = edge.dcedge("apply")
            assert done.status == 0, done.said
            assert "FRR's configuration is not saved: staticd does not answer" in done.said
            shown = edge.frr.json("show bgp neighbors json")
            assert all(shown[peer]["bgpState"] == "Established" for peer in PEERS.values())
        until("FRR to have saved", lambda: edge.frr.saved, accept=lambda saved: "10.31.0.0/16" in saved)
    finally:
        edge.frr.stop_daemon("staticd")


def test_bgp_is_changed_though_bfdd_does_not_answer(running: Bed) -> None:
    edge, before = running.edge, running.edge.order.read_text()
    with wedged(running, "bfdd"):
        edge.order.write_text(
            ORDER.read_text().replace("accept: [10.30.0.0/16]", "accept: [10.30.0.0/16, 10.32.0.0/16]")
        )
        done = edge.dcedge("apply")
        assert done.status == 0, done.said
        assert "10.32.0.0/16" in edge.frr.ask("bgpd", "show running-config")
        notes = edge.status()["pass"]["notes"]
        assert any(note.startswith("BFD is not in force: bfdd does not answer") for note in notes), notes
        edge.order.write_text(before)
        assert edge.dcedge("apply").status == 0
        assert "10.32.0.0/16" not in edge.frr.ask("bgpd", "show running-config")
    running.wait_up(*ORDERED_BPS)
    until("a complete pass", edge.status, accept=lambda seen: seen["frr"]["available"] and not seen["pass"]["failing"])


def test_a_session_whose_key_the_kernel_refused_is_shut_and_said_until_it_is_in_force(running: Bed) -> None:
    edge = running.edge
    frr = edge.frr
    known = edge.namespace.call(OPTION_MEMORY.exists)
    room: Callable[[str], int] = (
        (lambda size: edge.namespace.call(OPTION_MEMORY.write_text, size)) if known else OPTION_MEMORY.write_text
    )
    before = OPTION_MEMORY.read_text()
    frr.stop_daemon("bgpd", signal.SIGKILL)
    room("200")  # for one key of two
    try:
        frr.start_daemon("bgpd")

        def shut() -> dict[str, str]:
            return {
                name: vi["reason"]
                for name, vi in edge.virtual_interfaces().items()
                if "TCP-MD5 key" in vi["reason"] and vi["verdict"] == "down"
            }

        (name,) = until("a session to be shut", shut, accept=lambda seen: len(seen) == 1)
        assert name in {"prod-a", "dev-a"}
        state = frr.json(f"show bgp neighbors {PEERS[name]} json")[PEERS[name]]
        assert state["adminShutDown"], state
        running.wait_up(*ORDERED_BPS.keys() - {name})
        assert f"key of {PEERS[name]}" in edge.dcedge("status").stdout
        assert any(PEERS[name] in text for text in edge.status()["pass"]["failing"])
    finally:
        room(before)
    running.wait_up(*ORDERED_BPS)


def test_frr_comes_up_with_its_part_while_the_daemon_is_away(running: Bed) -> None:
    edge = running.edge
    until(
        "FRR to have saved",
        lambda: written(configured(running)) - written(edge.frr.saved),
        accept=lambda left: not left,
    )
    assert edge.stop_daemon() == 0
    edge.frr.kill()
    edge.frr.boot()
    for cloud in running.clouds:
        cloud.wait_established()
    running.prod.wait_route("10.255.101.2", "192.0.2.0/24")


def test_what_is_not_confirmed_is_not_saved(running: Bed) -> None:
    edge = running.edge
    until(
        "FRR to have saved",
        lambda: written(configured(running)) - written(edge.frr.saved),
        accept=lambda left: not left,
    )
    saved = edge.frr.saved
    edge.frr.load("ip prefix-list by-hand seq 5 permit 10.0.0.0/8\n")  # which somebody is only trying out
    edge.order.write_text(ORDER.read_text().replace("accept: [10.30.0.0/16]", "accept: [10.30.0.0/16, 10.31.0.0/16]"))
    assert edge.dcedge("apply", "--confirm", "60s").status == 0
    finished = edge.status()["pass"]["finished_at"]
    edge.frr.load("no ip prefix-list by-hand\nip prefix-list by-hand seq 5 permit 10.0.0.0/8\n")
    edge.namespace.ip("link set dev eth2.201 alias other")
    until("another pass", edge.status, accept=lambda seen: seen["pass"]["finished_at"] != finished)
    assert edge.frr.saved == saved
    assert edge.dcedge("confirm").status == 0
    until("FRR to have saved", lambda: edge.frr.saved, accept=lambda text: "10.31.0.0/16" in text)
    edge.frr.load("no ip prefix-list by-hand\n")


def test_what_frr_reads_late_out_of_a_file_of_another_order_is_undone(running: Bed) -> None:
    """It starts empty and gets its part at once; only then it reads what was saved, of the order before."""
    edge = running.edge

    def order_metric(metric: int) -> None:
        old, new = "{credential: dev-a}}", f"{{credential: dev-a}}, med: {metric}}}"
        edge.order.write_text(ORDER.read_text().replace(old, new))

    def metrics() -> set[str]:
        return set(re.findall(r"set metric (17\d)", edge.frr.ask("bgpd", "show running-config")))

    order_metric(171)
    assert edge.dcedge("apply").status == 0
    until("FRR to have saved", lambda: edge.frr.saved, accept=lambda text: "set metric 171" in text)
    order_metric(172)
    assert edge.dcedge("apply", "--confirm", "120s").status == 0
    edge.frr.kill()
    until("the daemon to say so", edge.status, accept=lambda seen: not seen["frr"]["available"])
    for daemon in edge.frr.daemons:
        edge.frr.start_daemon(daemon)
    until("FRR to be configured again", metrics, accept=lambda found: found == {"172"})
    edge.frr.read_saved()
    until("the order's metric alone", metrics, accept=lambda found: found == {"172"})
    assert edge.dcedge("rollback").status == 0
    until("the metric of before", metrics, accept=lambda found: found == {"171"})
    until("FRR to have saved", lambda: edge.frr.saved, accept=lambda text: "set metric 171" in text)
