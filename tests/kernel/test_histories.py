"""Random histories of changes that may be taken back, on the real daemon, kernel and FRR: the end is old or new.

Each history is a random one of a seed, which a failure names: HISTORY_SEED=n plays that one alone.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.lab.bed import ORDER, Bed
from tests.lab.edge import Outcome, written
from tests.lab.small_disk import SmallDisk
from tests.lab.wait import PATIENCE_SECONDS, WaitError, until

pytestmark = pytest.mark.timeout(3600)

NUMBERS = range(1, 6)  # of the orders
STEPS = 7
WITHIN_SECONDS = 5.0  # of the deadline, or of the end of what kept the rollback from being
COMMAND_SECONDS = 0.7  # about as long as a change takes here
# What a command says that has changed nothing.
REFUSED = ("nothing was changed", "waits for confirmation", "another dcedge is changing")


def order(number: int) -> str:
    """One of the orders: what tells it from the others is a rate, a link and an address, and a line in FRR."""
    made: dict[str, Any] = yaml.safe_load(ORDER.read_text())
    interfaces = made["virtual_interfaces"]
    interfaces["prod-a"]["bandwidth"] = f"{50 + number}M"
    interfaces["dev-a"]["bgp"]["med"] = 100 + number
    interfaces[f"extra-{number}"] = {
        "connection": "fra-2",
        "virtual_gateway": "prod",
        "vlan": 300 + number,
        "bandwidth": "2M",
        "admin": "planned",
        "addresses": [{"customer": f"10.254.{number}.2/30", "cloud": f"10.254.{number}.1"}],
        "static": ["10.20.0.0/16"],
    }
    return written(made)


def answer_of(done: Outcome) -> dict[str, Any] | None:
    """What a command says that it has done; None where it says nothing of the kind, as one that was cut off."""
    return dict(json.loads(done.stdout)) if done.stdout.startswith("{") else None


class Router:
    """The edge, and all that can be wrong with it."""

    def __init__(self, bed: Bed, disk: SmallDisk) -> None:
        self.edge = bed.edge
        self.disk = disk
        self._frr_is_there = True
        self.is_stopped = False

    def numbers(self) -> tuple[set[int], set[int], set[int]] | None:
        """The orders that the rate, the links and FRR's metric are of; None where FRR cannot be asked."""
        if not self._frr_is_there:
            return None
        classes = self.edge.namespace.run("tc", "class", "show", "dev", "eth1.101").stdout
        links = self.edge.namespace.run("ip", "-br", "link").stdout
        running = self.edge.frr.ask("bgpd", "show running-config")
        rates = {int(rate) - 50 for rate in re.findall(r"rate (5\d)Mbit", classes)}
        extras = {int(number) for number in re.findall(r"eth2\.30(\d)@", links)}
        metrics = {int(number) for number in re.findall(r"set metric 10(\d)", running)}
        return rates, extras, metrics

    def in_force(self) -> int | None:
        """Which order kernel and FRR are as; None where they are between two, or FRR cannot be asked."""
        rates, extras, metrics = self.numbers() or (set(), set(), set())
        return rates.copy().pop() if rates == extras == metrics and len(rates) == 1 else None

    @property
    def waits(self) -> bool:
        """Whether an order waits for its confirmation, as a restart would see it."""
        return (self.edge.state_dir / "pending.json").exists()

    def kill(self) -> None:
        """SIGKILL to the daemon."""
        self.edge.kill_daemon()
        self.is_stopped = False

    def stop(self) -> None:
        """SIGSTOP."""
        if self.edge.running:
            self.edge.signal_daemon(signal.SIGSTOP)
            self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        if self.is_stopped:
            self.edge.signal_daemon(signal.SIGCONT)
            self.is_stopped = False

    def start(self) -> None:
        """Start the daemon where it does not run, as systemd does: again, where another had the lock for long."""
        self.go_on()
        for tries_left in (2, 1, 0):
            if self.edge.running:
                return
            try:
                self.edge.start_daemon()
            except AssertionError:
                if not tries_left:
                    raise

    def restart(self) -> None:
        """Once all is written that was owed: what a restart comes to is what the files say."""
        until(
            "all to be written", self._notes, accept=lambda said: said is not None and "cannot be written" not in said
        )
        self.kill()
        self.start()

    def _notes(self) -> str | None:
        status = self.edge.status()
        return "\n".join(status["pass"]["notes"]) if status else None

    def refuse(self) -> None:
        """The kernel refuses what the orders' own links are called: something else has those names."""
        for number in NUMBERS:
            self.edge.namespace.run("ip", "link", "add", f"foreign{number}", "type", "dummy", check=False)
            name = f"vi-extra-{number}"
            self.edge.namespace.run(
                "ip", "link", "property", "add", "dev", f"foreign{number}", "altname", name, check=False
            )

    def allow(self) -> None:
        """It does not any more."""
        for number in NUMBERS:
            self.edge.namespace.run("ip", "link", "delete", f"foreign{number}", check=False)

    def lose_frr(self) -> None:
        """SIGKILL to all of FRR."""
        self._frr_is_there = False
        self.edge.frr.kill()

    def have_frr(self) -> None:
        """FRR is started where it does not run."""
        if not self._frr_is_there:
            self.edge.frr.boot()
            self._frr_is_there = True

    def mend(self) -> None:
        """Nothing keeps the daemon from anything."""
        self.go_on()
        self.allow()
        self.disk.mend()
        self.have_frr()
        self.start()


class History:
    """One history, and which orders may be in force at its end."""

    def __init__(self, router: Router, seed: int, begin: int) -> None:
        self.router = router
        self.edge = router.edge
        self.random = random.Random(seed)
        self.told = [f"history {seed}, from order {begin}"]
        self.wanted = {begin}
        self.known = {begin}
        self.waiting: int | None = None  # the order that waits for its confirmation, or may do so
        self.deadline = time.monotonic()

    def play(self) -> None:
        """Some steps, with a fault in the middle of many, and all well again."""
        for _ in range(STEPS):
            self.random.choices(
                (self.apply, self.apply_until_confirmed, self.confirm, self.roll_back, self.wait), (2, 4, 2, 1, 2)
            )[0]()
        self.router.mend()
        self.told.append(f"mended: one of {self.wanted}, waiting {self.waiting}")

    def settled(self, within: float) -> int:
        """The order that it ends at. Raises AssertionError where that is none that it may be, or not in time."""
        left = max(0.0, self.deadline - time.monotonic()) if self.waiting is not None else 0.0

        def state() -> tuple[int | None, bool]:
            return self.router.in_force(), self.router.waits

        try:
            number, _ = until(
                "an end", state, left + within, accept=lambda seen: seen[0] in self.wanted and not seen[1]
            )
        except WaitError as error:
            status = json.dumps(self.edge.status(), indent=1)
            raise AssertionError(
                "\n".join([*self.told, str(error), f"rate, links, metric: {self.router.numbers()}", status])
            ) from error
        assert number is not None
        return number

    def apply(self) -> None:
        """A change for good."""
        self._change(None)

    def apply_until_confirmed(self) -> None:
        """A change on probation."""
        self._change(self.random.choice((2, 4)))

    def confirm(self) -> None:
        """It is what is wanted."""
        waiting = self.waiting
        done = self._with_a_fault("confirm")
        if waiting is None or any(said in done.stderr for said in ("too late", "no order waits", "pending.json")):
            return
        if done.status == 0:
            self._settle(waiting)
        else:
            self._may_be(waiting)

    def roll_back(self) -> None:
        """It is not."""
        if self.waiting is None:
            return
        done = self._with_a_fault("rollback", "--json")
        if answer_of(done) is None or self.waiting in self.wanted:
            self._may_be(*self.known)  # where none waited it goes back to the one before, if that is known

    def wait(self) -> None:
        """Time goes on, with something that comes or goes."""
        self._fault()()
        time.sleep(self.random.uniform(0.2, 3.0))
        self.router.go_on()
        if self.random.random() < 0.5:
            self.router.start()

    def _change(self, seconds: int | None) -> None:
        number, before = self.random.choice(NUMBERS), self.edge.order.read_text()
        self.edge.order.write_text(order(number))
        until_confirmed = () if seconds is None else ("--confirm", f"{seconds}s")
        done = self._with_a_fault("apply", "--json", *until_confirmed, about=number)
        self.known.add(number)
        answer = answer_of(done)
        if answer is None and any(said in done.stderr for said in REFUSED):
            self.edge.order.write_text(before)
        elif answer is None:
            self._may_be(number)
            self._waits(number, seconds)
        elif answer.get("rolled_back"):
            self.edge.order.write_text(before)
        elif seconds is None:
            self._settle(number)
        else:
            self._waits(number, seconds)

    def _waits(self, number: int, seconds: int | None) -> None:
        if seconds is not None:
            self.waiting, self.deadline = number, time.monotonic() + seconds

    def _settle(self, number: int) -> None:
        # Where it cannot be written it is told what a restart would lose.
        self.wanted = {number} | (set() if self.router.disk.is_well else self.wanted)
        self.waiting = None

    def _may_be(self, *numbers: int) -> None:
        self.wanted |= set(numbers)

    def _fault(self) -> Callable[[], None]:
        router = self.router
        faults = (
            router.kill, router.stop, router.disk.fill, router.disk.make_read_only, router.refuse, router.lose_frr,
            router.disk.mend, router.allow, router.have_frr, router.start,
        )  # fmt: skip
        chosen = self.random.choice(faults)
        self.told.append(f"  {chosen.__name__}")
        return chosen

    def _with_a_fault(self, *words: str, about: int | None = None) -> Outcome:
        """How a command ends, in whose middle something comes or goes as often as not."""
        self.told.append(" ".join(words) + (f" of order {about}" if about is not None else ""))
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.edge.dcedge, *words)
            if self.random.random() < 0.5:
                time.sleep(self.random.uniform(0, COMMAND_SECONDS))
                self._fault()()
                if self.router.is_stopped:
                    time.sleep(self.random.uniform(0, 3.0))
                    self.router.go_on()
            done = running.result()
        self.told.append(f"  status {done.status}: {done.stderr.strip()[-200:]}")
        return done


@pytest.fixture
def router() -> Iterator[Router]:
    """The standard testbed at order 1, its state on a small disk; the daemon runs."""
    with Bed() as bed:
        disk = SmallDisk(bed.edge.state_dir)
        made = Router(bed, disk)
        try:
            bed.edge.order.write_text(order(1))
            bed.edge.start_daemon()
            until("the first order", made.in_force, accept=lambda number: number == 1)
            yield made
        finally:
            made.go_on()
            bed.edge.stop_daemon()
            disk.unmount()


@pytest.mark.sized
def test_whatever_happens_the_end_is_old_or_new(router: Router, thorough: bool) -> None:
    given = os.environ.get("HISTORY_SEED")
    first = int(given) if given else random.SystemRandom().randrange(10**6)
    count = 1 if given else 50 if thorough else 3
    print(f"histories {first} to {first + count - 1}")
    number = 1
    for seed in range(first, first + count):
        router.edge.order.write_text(order(number))
        history = History(router, seed, number)
        history.play()
        # Beside other boots of the lab only that it ends.
        history.settled(WITHIN_SECONDS if thorough else PATIENCE_SECONDS)
        router.restart()
        number = history.settled(PATIENCE_SECONDS)
