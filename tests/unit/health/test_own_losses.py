"""What this router itself loses is named, with the kernel's counter, before the line or the cloud is blamed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dcedge.kernel.counters import LinkCounters
from dcedge.kernel.softnet import SoftnetCounters, read_softnet
from dcedge.monitor.health.facts import LoadFacts, OwnLoss
from dcedge.monitor.health.judge import judge
from dcedge.monitor.health.own_loss_meter import OwnLossMeter
from dcedge.monitor.health.verdict import Side
from tests.unit.health.test_verdict import ANSWERS, GOOD, UP

LOSSY = replace(GOOD, sessions=(replace(UP, bfd=None),), probes=(replace(ANSWERS, probes=64, lost=9),))
QUIET = (SoftnetCounters(0, 1_000, 0, 0), SoftnetCounters(1, 500, 0, 0))


def port(received: int, sent: int, index: int = 3, **faults: int) -> LinkCounters:
    """A port that has passed so many packets."""
    return LinkCounters(
        received, sent, 0, 0, 0, 0, carrier=True, carrier_changes=1, index=index, faults=tuple(faults.items())
    )


def found(before: LinkCounters, now: LinkCounters, softnet: tuple[SoftnetCounters, ...] = QUIET) -> tuple[OwnLoss, ...]:
    """What a meter makes of a minute between these."""
    meter = OwnLossMeter()
    meter.feed(0.0, {"eth1": before}, QUIET)
    meter.feed(30.0, {"eth1": before}, QUIET)
    meter.feed(60.0, {"eth1": now}, softnet)
    return meter.lost(("eth1",))


@pytest.mark.parametrize(
    ("faults", "says", "side"),
    [
        ({"rx_missed_errors": 100}, "eth1 dropped 100 of 1,000 frames: its receive ring was full", "customer"),
        ({"rx_over_errors": 100}, "eth1 dropped 100 of 1,000 frames: its receive ring was full", "customer"),
        ({"rx_fifo_errors": 100}, "eth1 dropped 100 of 1,000 frames: its receive ring was full", "customer"),
        ({"rx_crc_errors": 100}, "100 of 1,000 frames came in broken at eth1", "line"),
        ({"rx_frame_errors": 100}, "100 of 1,000 frames came in broken at eth1", "line"),
        ({"tx_fifo_errors": 100}, "eth1 failed to send 100 of 600 frames", "customer"),
        ({"tx_carrier_errors": 100}, "eth1 lost its carrier while it sent 100 of 600 frames", "line"),
    ],
)
def test_a_port_that_loses_frames_is_named_with_the_counter(faults: dict[str, int], says: str, side: Side) -> None:
    losses = found(
        port(100, 100, **dict.fromkeys(faults, 7)), port(1_000, 600, **{k: v + 7 for k, v in faults.items()})
    )
    verdict = judge(replace(LOSSY, own_losses=losses))
    assert verdict.reason.startswith(judge(LOSSY).reason + f"; but {says}")
    assert verdict.reason.endswith(f"({next(iter(faults))})")
    assert (verdict.state, verdict.layer, verdict.side) == ("degraded", "ping", side)


@pytest.mark.parametrize(
    ("softnet", "says"),
    [
        (
            SoftnetCounters(1, 1_400, 100, 0),
            "dropped 100 of 1,000 received packets: the kernel's backlog was full (dropped)",
        ),
        (
            SoftnetCounters(1, 1_500, 0, 800),
            "came too late to what it received: its time for it ended 800 times in 1,000 packets (time_squeeze)",
        ),
    ],
    ids=["backlog", "softirq"],
)
def test_the_kernels_backlog_and_a_throttled_softirq_are_named(softnet: SoftnetCounters, says: str) -> None:
    losses = found(port(100, 100), port(1_000, 600), (QUIET[0], softnet))
    verdict = judge(replace(LOSSY, own_losses=losses))
    assert verdict.reason == f"{judge(LOSSY).reason}; but this router {says}"
    assert verdict.side == "customer"


def test_the_clouds_policer_is_not_blamed_for_what_this_router_lost() -> None:
    policed = replace(GOOD, load=LoadFacts(0.4, 0.0, 38e6, outward=True))
    assert "policer" in judge(policed).reason
    losses = found(port(100, 100), port(1_000, 600, rx_missed_errors=50))
    verdict = judge(replace(policed, own_losses=losses))
    assert "policer" not in verdict.reason
    assert verdict.side == "customer"


def test_too_little_to_explain_anything_is_not_spoken_of() -> None:
    assert found(port(0, 0), port(1_000_000, 9, rx_missed_errors=40)) == ()
    assert found(port(0, 0), port(1_000_000, 9), (SoftnetCounters(0, 900_000, 40, 3_000), QUIET[1])) == ()


def test_a_port_made_anew_has_lost_nothing() -> None:
    assert found(port(900, 900), port(10, 10, index=4, rx_missed_errors=9)) == ()


def test_what_is_over_for_a_minute_is_forgotten() -> None:
    meter = OwnLossMeter()
    meter.feed(0.0, {"eth1": port(0, 0)}, QUIET)
    for at in range(1, 80):
        meter.feed(float(at), {"eth1": port(100 * at, 0, rx_missed_errors=500)}, QUIET)
        if at == 2:
            assert [loss.counter for loss in meter.lost(("eth1",))] == ["rx_missed_errors"]
    assert meter.lost(("eth1",)) == ()


def test_the_counters_of_processors_are_of_32_bits_and_begin_anew() -> None:
    meter = OwnLossMeter()
    meter.feed(0.0, {}, (SoftnetCounters(0, 2**32 - 500, 2**32 - 50, 0),))
    meter.feed(9.0, {}, (SoftnetCounters(0, 400, 50, 0),))
    assert meter.lost(()) == (OwnLoss("this router", "dropped", 100, 1_000),)


def test_a_well_path_stays_well() -> None:
    losses = found(port(100, 100), port(1_000, 600, rx_missed_errors=100))
    assert judge(replace(GOOD, own_losses=losses)) == judge(GOOD)


def test_this_kernel_tells_what_its_processors_did(tmp_path: Path) -> None:
    assert read_softnet()
    assert all(one.processed >= 0 for one in read_softnet())
    old = tmp_path / "softnet_stat"
    old.write_text("0000000a 00000002 00000001 00000000\n000000ff 00000000 00000000 00000000\n")
    assert read_softnet(old) == (SoftnetCounters(0, 10, 2, 1), SoftnetCounters(1, 255, 0, 0))
    assert read_softnet(tmp_path / "none") == ()
