"""A change that may be taken back, whatever fails, fills up or is killed meanwhile: the end is old or new."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dcedge.errors import BusyError, DcedgeError, KernelError, StateError
from dcedge.reconcile import clock
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.result import PassResult
from dcedge.reconcile.state import writer_lock
from dcedge.reconcile.state.formats import Pending
from dcedge.reconcile.state.state_dir import StateDir
from dcedge.reconcile.state.store import Store
from dcedge.reconcile.transaction import Goal, NothingToRollBackError, Transaction
from dcedge.settings import Settings

T = TypeVar("T")
ASNS = range(65001, 65005)
WITHIN_SECONDS, LONGEST_SECONDS = 5.0, 8.0
HANGS = -1  # a disk that takes whatever it is given, and never says that it has it


def order(asn: int) -> str:
    """An order like any other."""
    return f"router: {{asn: {asn}, router_id: 10.255.0.1}}\n"


class KilledError(BaseException):
    """The agent was killed there."""


class Machine:
    """A router with its agent: what runs in kernel and FRR, files, faults, and a clock that is told to go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "order.yaml"
        self.now = 1000.0
        self.disk = 0  # errno of what cannot be written, or HANGS
        self.kernel_fails = False
        self.frr_there = True
        self.deaths: int | None = None  # how many more steps until the agent is killed
        self.kernel: str | None = None
        self.frr: str | None = None
        self.running: Agent | None = None

    def step(self) -> None:
        """A place where the agent may be killed."""
        if self.deaths is not None:
            self.deaths -= 1
            if self.deaths < 0:
                self.deaths = None
                raise KilledError

    def write(self, contents: bytes | None) -> None:
        """Raise OSError where the disk takes no change."""
        self.step()
        assert self.disk != HANGS, "somebody waits for it"
        if self.disk and not (self.disk == errno.ENOSPC and contents is None):
            raise OSError(self.disk, os.strerror(self.disk))

    def carry_out(self, text: str | None) -> PassResult:
        """One pass."""
        self.step()
        if self.kernel_fails:
            raise KernelError("the kernel's tables changed during a dump", errno.EINTR, retryable=True)
        self.kernel = text
        self.step()
        if self.frr_there:
            self.frr = text
        done = SimpleNamespace(failures=(), frr_available=self.frr_there, done=SimpleNamespace(operations=()))
        return cast("PassResult", done)


class Agent:
    """The daemon of a machine, as it starts, and what of it changes orders."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.store = Store(machine.folder / "state")
        self._lock = self.store.writer()
        self._lock.__enter__()
        self.in_force = OrderInForce(Settings(order=machine.file), self.store)
        self.settled: list[bool] = []  # each time that nothing waits any more: whether that is so
        self.transaction = Transaction(
            self.store, self._enact, self._written, lambda: self.settled.append(self.store.pending_order.get() is None)
        )
        self._loop = asyncio.Runner()
        loaded = self.in_force.start()
        if self.store.pending_order.get() is None:
            self.store.orders.save_last_good(loaded.text)
        self.store.files.owed.wake = lambda: None  # from here on the daemon writes beside all else
        self.tick()

    def close(self) -> None:
        """It is gone."""
        self._lock.__exit__(None, None, None)
        self._loop.close()

    def tick(self) -> None:
        """What it does by itself about once a second."""
        self.run(self.transaction.roll_back_if_due())
        self.run(self._written())
        assert self.in_force.loaded is not None
        text = self.in_force.loaded.text
        if (self.machine.kernel, self.machine.frr) != (text, text) or self.transaction.rolling_back:
            try:
                self.transaction.passed(self.machine.carry_out(text))
            except KernelError:
                return

    def apply(self, text: str, seconds: float | None) -> bool:
        """`dcedge apply`, on the terms of the daemon's command; whether it said that it was done."""
        before = self.in_force.loaded

        async def applying() -> bool:
            async with self.transaction.turn():
                outcome = await self.transaction.apply(text, before.text if before else None, {}, seconds)
                return not outcome.rolled_back

        return self.run(applying())

    def confirm(self) -> None:
        """`dcedge confirm`."""
        self.run(self.transaction.confirm())

    def roll_back(self) -> None:
        """`dcedge rollback`."""
        self.run(self.transaction.roll_back())

    def run(self, change: Coroutine[Any, Any, T]) -> T:
        """To its end."""
        return self._loop.run(change)

    async def _written(self) -> None:
        """What is owed, in a thread as the daemon does it; one that hangs is not waited for."""
        if self.machine.disk != HANGS:
            await asyncio.to_thread(self.store.files.owed.write)

    async def _enact(self, goal: Goal) -> PassResult:
        if goal.text is None:
            raise DcedgeError("nothing was ordered before")
        self.in_force.take(self.in_force.read_back(goal.text), goal.secrets)
        return self.machine.carry_out(goal.text)


class Histories(RuleBasedStateMachine):
    """What operators do, what fails, and what must be so at the end."""

    @initialize()
    def begin(self) -> None:
        """A router that is as its first order says."""
        self.patched = pytest.MonkeyPatch()
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        self.machine = machine = Machine(folder)
        write, remove = StateDir.write, StateDir.remove

        def checked_write(state: StateDir, name: str, contents: bytes) -> None:
            machine.write(contents)
            write(state, name, contents)
            machine.step()

        def checked_remove(state: StateDir, name: str) -> None:
            machine.write(None)
            remove(state, name)
            machine.step()

        self.patched.setattr(StateDir, "write", checked_write)
        self.patched.setattr(StateDir, "remove", checked_remove)
        self.patched.setattr(clock, "since_boot", lambda: machine.now)
        self.patched.setattr(writer_lock, "RUN_FOLDER", folder / "run")
        self.patched.setattr(os, "fsync", lambda _: None)
        machine.file.write_text(order(65000))
        self.agent: Agent | None = Agent(machine)
        self.wanted = {order(65000)}  # what may be in force once nobody waits for a confirmation
        self.candidate: str | None = None  # what is in force until the deadline
        self.deadline = 0.0

    def teardown(self) -> None:
        """All that failed is well again: soon the router is as one order says."""
        if not hasattr(self, "machine"):
            return
        try:
            self._mend()
            self._go_on(WITHIN_SECONDS)
            self.machine.now += LONGEST_SECONDS  # every deadline has passed
            self._go_on(WITHIN_SECONDS)
            machine = self.machine
            assert machine.kernel == machine.frr, "between two orders"
            assert machine.kernel in self.wanted, (machine.kernel, self.wanted)
            assert self.agent is not None
            assert self.agent.store.pending_order.get() is None
            assert not self.agent.transaction.rolling_back
        finally:
            if self.agent is not None:
                self.agent.close()
            self.patched.undo()
            self.folder.cleanup()

    @rule(asn=st.sampled_from(ASNS), dies=st.none() | st.integers(0, 8))
    def apply(self, asn: int, dies: int | None) -> None:
        """A change for good."""
        text = order(asn)

        def applying(agent: Agent) -> None:
            self.machine.file.write_text(text)
            try:
                agent.apply(text, None)
            except BusyError:
                assert self.candidate is not None
                self.machine.file.write_text(self.candidate)  # it is not what they wanted now
                return
            except KernelError:
                pass  # it is in force, and tried again
            known = set(self.wanted)
            self._settled(text)
            if agent.store.troubles() or self.machine.disk == HANGS:
                self.wanted |= known  # it is told what a restart would lose

        before = set(self.wanted)
        if self._died(dies, applying) and self.candidate is None:
            self.wanted = before | {text}

    @rule(
        asn=st.sampled_from(ASNS), seconds=st.sampled_from([3.0, LONGEST_SECONDS]), dies=st.none() | st.integers(0, 8)
    )
    def apply_until_confirmed(self, asn: int, seconds: float, dies: int | None) -> None:
        """A change on probation."""
        text, deadline, held = order(asn), self.machine.now + seconds, self.machine.kernel
        if self.machine.disk == HANGS:
            return  # it waits for the disk, and nothing begins

        def applying(agent: Agent) -> None:
            try:
                kept = agent.apply(text, seconds)
            except BusyError:
                assert self.candidate is not None
                return
            except StateError:
                assert self.machine.disk, "it can be written"
                assert self.machine.kernel == held, "something was changed all the same"
                return
            except KernelError:
                # It is being rolled back; a restart that could not be told so gives it the rest of its time.
                self.machine.file.write_text(text)
                if self.machine.disk:
                    self.candidate, self.deadline = text, deadline
                return
            if kept:
                self.machine.file.write_text(text)
                self.candidate, self.deadline = text, deadline

        if self._died(dies, applying) and self.candidate is None:
            self.machine.file.write_text(text)
            if Store(self.machine.folder / "state").pending_order.get() is not None:
                self.candidate, self.deadline = text, deadline
            else:
                self.wanted |= {text}  # it had not begun: a restart takes the file as it is

    @rule(dies=st.none() | st.integers(0, 5))
    def confirm(self, dies: int | None) -> None:
        """It is what is wanted."""
        text, before = self.candidate, set(self.wanted)
        if self.machine.disk == HANGS:
            return  # it waits

        def confirming(agent: Agent) -> None:
            try:
                agent.confirm()
            except DcedgeError:
                return
            assert text is not None, "nothing waited"
            assert self.machine.now < self.deadline, "too late"
            self._settled(text)

        if self._died(dies, confirming) and text is not None:
            self.wanted = before | {text}

    @rule(dies=st.none() | st.integers(0, 8))
    def roll_back(self, dies: int | None) -> None:
        """It is not what is wanted, now."""

        def going_back(agent: Agent) -> None:
            pending = agent.store.pending_order.get()
            back = pending.previous if pending is not None else agent.store.orders.previous()
            try:
                agent.roll_back()
            except NothingToRollBackError:
                return
            except KernelError:
                pass  # it is tried again
            if not self.machine.disk:
                self.candidate = None
            if pending is None and back is not None:
                # What was the order is told to be forgotten where it cannot be written.
                self.wanted = {back} | (self.wanted if self.machine.disk else set())

        before, files = set(self.wanted), self._files()
        if self._died(dies, going_back) and self.candidate is None:
            self.wanted = before | files

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0]), stopped=st.booleans())
    def time_goes_on(self, seconds: float, stopped: bool) -> None:
        """With the agent, or without it: SIGSTOP."""
        if stopped or self.agent is None:
            self.machine.now += seconds
        else:
            self._go_on(seconds)

    @rule()
    def kill(self) -> None:
        """SIGKILL, and nobody starts it again for now."""
        if self.agent is not None:
            self.agent.close()
            self.agent = None

    @rule()
    def start(self) -> None:
        """It is started where it does not run."""
        if self.machine.disk != HANGS:
            self._start()

    @rule(what=st.sampled_from([0, errno.ENOSPC, errno.EROFS, errno.EIO, HANGS]))
    def disk(self, what: int) -> None:
        """The state folder fills up, is read-only, breaks, hangs; or is well again."""
        self.machine.disk = what

    @rule(fails=st.booleans())
    def kernel(self, fails: bool) -> None:
        """The kernel cannot be looked at."""
        self.machine.kernel_fails = fails

    @rule(there=st.booleans())
    def frr(self, there: bool) -> None:
        """FRR comes and goes."""
        self.machine.frr_there = there

    @invariant()
    def nothing_stays_unconfirmed(self) -> None:
        """Where nothing prevents it, what nobody confirmed is gone soon after its deadline."""
        if not hasattr(self, "machine") or self.agent is None or self.candidate is None:
            return
        if self.machine.now >= self.deadline + WITHIN_SECONDS and self._well():
            self._go_on(WITHIN_SECONDS)
            assert self.machine.kernel != self.candidate or self.candidate in self.wanted
            self.candidate = None

    def _well(self) -> bool:
        return not self.machine.kernel_fails and self.machine.frr_there

    def _settled(self, text: str) -> None:
        self.wanted, self.candidate = {text}, None

    def _files(self) -> set[str]:
        """The orders that a rollback by hand may end at: what the agent knows, written or not."""
        if self.agent is None:
            return set()
        store = self.agent.store
        return {text for text in (store.orders.last_good(), store.orders.previous()) if text is not None}

    def _died(self, dies: int | None, action: Callable[[Agent], None]) -> bool:
        """Whether the agent was killed in the middle of an action (which needs it running)."""
        if self.agent is None:
            return False
        self.machine.deaths = dies
        try:
            action(self.agent)
        except KilledError:
            self.agent.close()
            self.agent = None
            if Store(self.machine.folder / "state").pending_order.get() is None:
                self.candidate = None  # it came so far
            return True
        finally:
            self.machine.deaths = None
        return False

    def _mend(self) -> None:
        self.machine.disk, self.machine.kernel_fails, self.machine.frr_there = 0, False, True
        self._start()

    def _start(self) -> None:
        if self.agent is None:
            self.agent = Agent(self.machine)

    def _go_on(self, seconds: float) -> None:
        assert self.agent is not None
        until = self.machine.now + seconds
        while self.machine.now < until:
            self.machine.now += 1.0
            self.agent.tick()
            if self.machine.now >= self.deadline and self.agent.store.pending_order.get() is None:
                self.candidate = None  # another may wait from now on


@pytest.mark.sized
def test_whatever_happens_the_end_is_old_or_new(request: pytest.FixtureRequest) -> None:
    """A few histories each time, and many when asked for."""
    count = 1000 if request.config.getoption("--thorough") else 50
    checks = list(HealthCheck)
    run_state_machine_as_test(
        Histories, settings=settings(max_examples=count, stateful_step_count=30, suppress_health_check=checks)
    )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A router that is as its first order says, and nothing fails."""
    made = Machine(tmp_path)
    write = StateDir.write

    def checked_write(state: StateDir, name: str, contents: bytes) -> None:
        made.write(contents)
        write(state, name, contents)

    monkeypatch.setattr(StateDir, "write", checked_write)
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", tmp_path / "run")
    made.file.write_text(order(65000))
    return made


def test_a_rollback_that_could_not_begin_is_not_written_down_as_done(machine: Machine) -> None:
    """Nothing was ordered before, which the daemon leaves to others: who finds the way back goes it."""
    agent = Agent(machine)
    agent.store.pending_order.save(Pending.starting(order(65001), None, {}, 0.0))
    assert agent.run(agent.transaction.roll_back_if_due()) is None
    agent.transaction.passed(machine.carry_out(order(65001)))
    agent.close()
    assert Store(machine.folder / "state").pending_order.get() is not None


def test_a_rollback_by_hand_is_not_undone_by_a_kill_while_frr_is_away(machine: Machine) -> None:
    agent = Agent(machine)
    machine.file.write_text(order(65001))
    assert agent.apply(order(65001), None)
    machine.frr_there = False
    agent.roll_back()
    agent.close()
    again = Agent(machine)
    assert machine.kernel == order(65000)
    again.close()


def test_a_change_that_did_not_begin_leaves_a_rejected_order_rejected(machine: Machine) -> None:
    agent = Agent(machine)
    machine.file.write_text(order(65001))
    agent.apply(order(65001), None)
    agent.roll_back()
    machine.disk = errno.ENOSPC
    with pytest.raises(StateError, match="nothing was changed"):
        agent.apply(order(65001), 60.0)
    machine.disk = 0
    agent.store.files.owed.write()
    agent.close()
    again = Agent(machine)
    assert machine.kernel == order(65000)
    again.close()


def test_which_order_waited_is_lost_and_stays_out_over_every_restart(machine: Machine) -> None:
    agent = Agent(machine)
    machine.file.write_text(order(65001))
    assert agent.apply(order(65001), 60.0)
    agent.close()
    (machine.folder / "state" / "pending.json").write_text("{")
    for _ in range(2):
        again = Agent(machine)
        assert machine.kernel == order(65000)
        again.close()


def test_a_change_that_failed_does_not_come_back_with_a_restart_before_its_deadline(machine: Machine) -> None:
    agent = Agent(machine)
    machine.file.write_text(order(65001))
    machine.kernel_fails = True
    with pytest.raises(KernelError):
        agent.apply(order(65001), 60.0)
    agent.close()
    machine.kernel_fails = False
    again = Agent(machine)
    assert machine.kernel == order(65000)
    again.close()


def test_a_rollback_that_cannot_be_is_not_tried_without_a_pause(machine: Machine) -> None:
    agent = Agent(machine)
    agent.store.pending_order.save(Pending.starting(order(65001), None, {}, 0.0))
    tries: list[int] = []

    async def refuses(_: Goal) -> PassResult:
        tries.append(1)
        raise DcedgeError("nothing was ordered before")

    transaction = Transaction(agent.store, refuses)

    async def a_while() -> None:
        watching = asyncio.ensure_future(transaction.watch())
        for _ in range(1000):
            await asyncio.sleep(0)
        watching.cancel()

    asyncio.run(a_while())
    agent.close()
    assert len(tries) == 1


def test_an_order_that_cannot_be_gone_back_to_is_settled_by_the_next_that_is_applied(machine: Machine) -> None:
    agent = Agent(machine)
    agent.store.pending_order.save(Pending.starting(order(65001), "no order", {}, 0.0))
    with pytest.raises(DcedgeError, match="`dcedge apply` of a valid order ends this"):
        agent.roll_back()
    machine.file.write_text(order(65002))
    assert agent.apply(order(65002), None)
    agent.tick()
    agent.close()
    again = Agent(machine)
    assert (machine.kernel, again.store.pending_order.get()) == (order(65002), None)
    again.close()


@pytest.mark.parametrize("ends", [Agent.confirm, Agent.roll_back])
def test_the_end_of_a_change_is_told_once_nothing_waits_any_more(
    machine: Machine, ends: Callable[[Agent], None]
) -> None:
    agent = Agent(machine)
    machine.file.write_text(order(65001))
    assert agent.apply(order(65001), 60.0)
    assert agent.settled == []
    ends(agent)
    agent.close()
    assert agent.settled == [True]
