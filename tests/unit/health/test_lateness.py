"""A router whose processors are taken: it says that it was late itself, before it blames anybody."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest

from dcedge.monitor.health.facts import Facts
from dcedge.monitor.health.judge import judge
from dcedge.monitor.health.lateness_meter import LATE, LatenessMeter, read_wait
from tests.lab.wait import until
from tests.unit.explain.scene import ACTIVE, ANSWERS, UP, WELL

GOOD = replace(WELL.facts, link=replace(WELL.facts.link, silent=0.0))
LATE_SAID = "but this router was late itself: its processes waited 950 ms in a second for a processor"


class Counter:
    """The kernel's count, which others make grow. Seconds."""

    def __init__(self) -> None:
        self.waited: float | None = 0.0

    def read(self) -> float | None:
        return self.waited


def test_only_what_the_kernel_counts_as_waiting_is_late() -> None:
    counter = Counter()
    meter = LatenessMeter(counter.read)
    meter.feed(100.0)
    for second in range(1, 61):
        assert counter.waited is not None
        counter.waited += 0.8 if second == 20 else 0.01
        meter.feed(100.0 + second)
    assert meter.worst(160.0, within=30.0) == 0.0, "that was before"
    assert meter.worst(160.0, within=60.0) == pytest.approx(0.8)


def test_a_poll_that_comes_late_itself_counts_by_the_second() -> None:
    counter = Counter()
    meter = LatenessMeter(counter.read)
    meter.feed(100.0)
    counter.waited = 4.0
    meter.feed(105.0)
    assert meter.worst(105.0, within=30.0) == pytest.approx(0.8)


def test_a_kernel_that_does_not_count_says_nothing() -> None:
    counter = Counter()
    meter = LatenessMeter(counter.read)
    for counter.waited in (0.0, None, 50.0):
        meter.feed(100.0)
    assert meter.worst(100.0, within=0.0) > 0, "counted anew from where it was known"
    nothing = LatenessMeter(lambda: None)
    nothing.feed(1.0)
    nothing.feed(2.0)
    assert nothing.worst(2.0, within=60.0) == 0.0


def _spin(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    while True:
        pass


def _share(processor: int) -> None:
    """Share one processor with others, until that has made us wait."""
    os.sched_setaffinity(0, {processor})
    before = read_wait()
    assert before is not None
    while (read_wait() or 0.0) - before < LATE:
        pass


async def _watch(said: Connection) -> None:
    """Say every now and then how late this process has been."""
    meter = LatenessMeter(lambda: None)
    meter.feed(time.monotonic())
    watching = asyncio.create_task(meter.watch())
    while not watching.done():
        await asyncio.sleep(0.2)
        meter.feed(now := time.monotonic())
        said.send(meter.worst(now, within=60.0))


def _run_watch(said: Connection) -> None:
    asyncio.run(_watch(said))


def test_a_machine_that_is_not_run_itself_is_late() -> None:
    """As a virtual machine without a processor, which no count of its own kernel shows."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_run_watch, args=(there,), daemon=True)
    process.start()
    try:
        assert here.recv() == 0.0
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2 * LATE)  # this is the fault
        os.kill(process.pid, signal.SIGCONT)
        until("it to be noticed", here.recv, accept=lambda late: late >= LATE)
    finally:
        process.kill()
        process.join()


@pytest.mark.skipif(read_wait() is None, reason="this kernel does not count")
def test_who_shares_a_processor_is_seen_to_wait() -> None:
    (processor, *_) = os.sched_getaffinity(0)
    context = multiprocessing.get_context("fork")
    hogs = [context.Process(target=_spin, args=(processor,), daemon=True) for _ in range(2)]
    late = context.Process(target=_share, args=(processor,), daemon=True)
    for process in (*hogs, late):
        process.start()
    try:
        late.join(40)
        assert late.exitcode == 0
    finally:
        for process in (*hogs, late):
            process.kill()
            process.join()


@pytest.mark.parametrize(
    "facts",
    [
        replace(GOOD, sessions=(replace(UP, bfd="down"),)),
        replace(GOOD, sessions=(replace(ACTIVE, state="Idle", duration=20.0, last_reset="BFD down received"),)),
        replace(GOOD, sessions=(replace(ACTIVE, duration=20.0),)),
        replace(GOOD, sessions=(replace(UP, bfd=None),), probes=(replace(ANSWERS, probes=64, lost=9),)),
    ],
    ids=["BFD is down", "BFD ended the session", "no session", "pings get lost"],
)
def test_what_is_judged_by_time_is_this_routers_side_where_it_was_late(facts: Facts) -> None:
    before, late = judge(facts), judge(replace(facts, router_late=0.95))
    assert before.side != "customer"
    assert (late.state, late.layer, late.side) == (before.state, before.layer, "customer")
    assert late.reason == f"{before.reason}; {LATE_SAID}"


def test_a_wait_too_short_to_let_anything_come_too_late_excuses_nothing() -> None:
    facts = replace(GOOD, sessions=(replace(UP, bfd="down"),))
    assert judge(replace(facts, router_late=0.6)) == judge(facts)


@pytest.mark.parametrize(
    "facts",
    [
        GOOD,
        replace(GOOD, port=replace(GOOD.port, carrier=False)),
        replace(
            GOOD,
            sessions=(
                replace(ACTIVE, duration=20.0, last_reset="BGP Notification received: Cease/Administrative Shutdown"),
            ),
        ),
    ],
    ids=["all is well", "fibre cut", "shut at the cloud"],
)
def test_what_time_has_nothing_to_do_with_stays(facts: Facts) -> None:
    assert judge(replace(facts, router_late=0.95)) == judge(facts)


def test_drained_it_is_said_once() -> None:
    facts = replace(GOOD, drained=True, sessions=(replace(UP, bfd="down"),), router_late=0.95)
    assert judge(facts).reason.count(LATE_SAID) == 1
