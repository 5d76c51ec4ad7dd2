"""The daemon's parts beside each other: nothing that fails in one ends another."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dcedge.api.metrics.exposition import TEXT
from dcedge.api.metrics.instruments import DaemonMetrics, counts
from dcedge.daemon import passes
from dcedge.daemon.service import Service
from dcedge.daemon.tasks import BACKOFF_SECONDS, Tasks
from dcedge.errors import KernelError
from dcedge.firewall.nft import FirewallEvents
from dcedge.frr.state import SessionState
from dcedge.frr.vty import FrrClient
from dcedge.kernel.counters import Counters, LinkCounters
from dcedge.monitor import poller
from dcedge.order.credentials import Secret
from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import parse_order
from dcedge.order.model import Credential
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.result import DirtySet, Meanwhile, PassRequest, PassResult
from dcedge.reconcile.state import writer_lock
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.lab.wait import until
from tests.unit.fake.router import FakeRouter
from tests.unit.order.test_removal import ordered
from tests.unit.reconcile.test_queue import WELL

FOUR, TWO = (ordered(dict.fromkeys(range(count), "bgp")) for count in (4, 2))
ORDER = "router: {asn: 65010, router_id: 10.255.0.1}\n"


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A daemon that has an order, and makes no pass yet."""
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", tmp_path / "run")
    order = tmp_path / "order.yaml"
    order.write_text(ORDER)
    settings = Settings(
        order=order,
        state_dir=tmp_path,
        socket=tmp_path / "sock",
        listen="127.0.0.1:0",  # another run of these tests may be at work on this machine
        frr_pathspace="dcedge-none",
    )
    in_force = OrderInForce(settings, Store(tmp_path))
    in_force.take(in_force.read_file())
    return Service(in_force)


def test_polls_never_read_one_socket_side_by_side(monkeypatch: pytest.MonkeyPatch, daemon: Service) -> None:
    """Else one takes the other's answer and both wait for ever."""
    inside: list[int] = []
    at_once: list[int] = []

    def looks(_: object) -> dict[int, object]:
        inside.append(1)
        at_once.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()
        return {}

    monkeypatch.setattr(poller, "read_counters", looks)

    async def three() -> None:
        await asyncio.gather(*(daemon.poller.poll() for _ in range(3)))

    try:
        asyncio.run(three())
    finally:
        daemon.close()
    assert at_once == [1, 1, 1]


def test_a_port_that_fails_during_a_poll_is_seen_beside_the_session_that_it_takes_down(
    monkeypatch: pytest.MonkeyPatch, daemon: Service
) -> None:
    """Else the first verdict, which the history keeps, names another cause."""
    carrier = [True]

    def carried(_: object) -> Counters:
        port = LinkCounters(0, 0, 0, 0, 0, 0, carrier=carrier[0], carrier_changes=1)
        return Counters(links={"eth1": port}, shapers={})

    def cut(_: object) -> list[SessionState]:
        carrier[0] = False
        return []

    monkeypatch.setattr(poller, "read_counters", carried)
    monkeypatch.setattr(FrrClient, "sessions", cut)
    try:
        asyncio.run(daemon.poller.poll())
    finally:
        daemon.close()
    poll = daemon.poller.last
    assert poll is not None
    assert not poll.counters.links["eth1"].carrier


def test_what_a_broken_off_command_was_to_do_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, daemon: Service
) -> None:
    tried: list[object] = []

    def refuses(*_: object) -> None:
        tried.append(_)
        raise KernelError("the kernel's tables changed during a dump", 4, retryable=True)

    monkeypatch.setattr(daemon.reconciler, "run", refuses)

    async def command() -> None:
        with pytest.raises(KernelError):
            await daemon.commands.by_verb["apply"](ORDER, {})
        assert not daemon.runner.busy
        assert daemon.queue.seconds_until_due() <= 1.0
        await daemon.runner.make_due()

    try:
        asyncio.run(command())
    finally:
        daemon.close()
    assert len(tried) == 2


def test_a_pass_goes_on_though_who_asked_for_it_has_gone(monkeypatch: pytest.MonkeyPatch, daemon: Service) -> None:
    """Side by side with the next one it would use the same sockets."""
    going_on, let = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(*_: object) -> None:
        order.append("begins")
        going_on.set()
        let.wait(5)
        order.append("ends")
        raise KernelError("enough", 4)

    monkeypatch.setattr(daemon.reconciler, "run", slow)

    async def leave_and_ask_again() -> None:
        first = asyncio.ensure_future(daemon.runner.make())
        await asyncio.to_thread(going_on.wait, 5)
        first.cancel()
        second = asyncio.ensure_future(daemon.runner.make_due())
        await asyncio.sleep(0)
        let.set()
        await second

    try:
        asyncio.run(leave_and_ask_again())
    finally:
        daemon.close()
    assert order == ["begins", "ends", "begins", "ends"]


@pytest.mark.parametrize("case", ["an event", "another runtime", "a waiting command", "a failure", "enough of it"])
def test_a_full_resync_gives_way_to_what_an_event_tells(
    case: str, monkeypatch: pytest.MonkeyPatch, daemon: Service
) -> None:
    """Of thousands of links it takes seconds; but what is not for the same intent waits for its end."""
    steps: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    commands: list[asyncio.Future[PassResult]] = []
    dirty = DirtySet(frozenset({7}), queues=True)

    def happen() -> None:
        daemon.queue.ask(dirty)
        if case == "another runtime":
            daemon.in_force.note(drained=frozenset({"a"}))
        if case == "a waiting command":
            commands.append(asyncio.ensure_future(daemon.runner.make(lambda: steps.append("command"))))

    def run(intent: Intent, request: PassRequest, meanwhile: Meanwhile | None = None) -> PassResult:
        steps.append("resync" if request.dirty is None else f"pass over {set(request.dirty.links)}")
        if request.dirty is None and daemon.runner.result is not None:
            assert meanwhile is not None
            loops[0].call_soon_threadsafe(happen)
            until("the event to be due", daemon.queue.urgent, 5)
            urgent = meanwhile.take(lambda found: found == dirty)
            if urgent is not None and case == "a failure":
                raise KernelError("the kernel's tables changed during a dump", 4, retryable=True)
            if urgent is not None:
                steps.append("repair")
                meanwhile.ended(WELL)
            assert meanwhile.take(lambda _: True) is None
            steps.append("resync ends")
        return replace(WELL, intent=intent)

    async def twice() -> None:
        loops.append(asyncio.get_running_loop())
        await daemon.runner.make_due()
        await daemon.runner.make_due()
        await asyncio.gather(*commands)

    if case == "enough of it":
        monkeypatch.setattr(passes, "GIVING_WAY_SECONDS", 0.0)
    monkeypatch.setattr(daemon.reconciler, "run", run)
    try:
        asyncio.run(twice())
    finally:
        daemon.close()
    after = {
        "an event": ["repair", "resync ends"],
        "another runtime": ["resync ends"],
        "a waiting command": ["resync ends", "command", "pass over {7}"],
        "a failure": [],
        "enough of it": ["resync ends"],
    }
    assert steps == ["resync", "resync", *after[case]]
    still_due = case in {"another runtime", "enough of it"}
    assert daemon.runner.busy == still_due
    assert daemon.queue.seconds_until_due() <= (1.0 if still_due or case == "a failure" else 60.0)


def test_a_task_that_fails_is_told_counted_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def main() -> None:
        metrics, done = DaemonMetrics(), asyncio.Event()
        tasks = Tasks(metrics.task_failures, sleep)

        async def fails_twice() -> None:
            runs.append(1)
            if len(runs) < 3:
                raise RuntimeError("out of the blue")
            done.set()

        tasks.keep("polls", fails_twice)
        await done.wait()
        assert counts(metrics.task_failures) == {"polls": 2}
        await tasks.stop()

    asyncio.run(main())
    assert pauses == [BACKOFF_SECONDS, 2 * BACKOFF_SECONDS]
    assert caplog.text.count("the task polls failed") == 2


@pytest.fixture
def in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OrderInForce:
    """A router with four virtual interfaces in force."""
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", tmp_path / "run")
    settings = Settings(
        order=tmp_path / "order.yaml", state_dir=tmp_path, listen="127.0.0.1:0", frr_pathspace="dcedge-none"
    )
    settings.order.write_text(FOUR)
    made = OrderInForce(settings, Store(tmp_path))
    made.start()
    return made


def handed_over(name: str) -> str:
    return json.dumps({json.dumps({"credential": name, "file": None}): f"secret of {name}"})


def test_passwords_come_with_the_order_that_is_taken_and_not_with_one_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, in_force: OrderInForce
) -> None:
    """A refused order names fewer passwords: the sessions of the one in force are not to lose theirs."""
    daemon = Service(in_force)
    known = {Credential(credential="prod"): Secret("secret of prod")}

    def refuses(*_: object) -> None:
        raise KernelError("the kernel says no", 1)

    monkeypatch.setattr(daemon.reconciler, "run", refuses)

    async def commands() -> None:
        verbs = daemon.commands.by_verb
        daemon.reconciler.handed_over = known
        in_force.settings.order.write_text(TWO)
        for verb, text in (("reload", ""), ("apply", TWO)):
            await verbs["credentials"](handed_over("another"), {})
            with pytest.raises(OrderInvalidError, match="2 of 4"):
                await verbs[verb](text, {})
            assert daemon.reconciler.handed_over == known
        with pytest.raises(KernelError):
            await verbs["apply"](FOUR, {})
        assert daemon.reconciler.handed_over == known, "those of the refused order are not kept for the next"
        for name, verb, text, parameters in (("one", "apply", TWO, {"allow_removal": "2"}), ("two", "reload", "", {})):
            await verbs["credentials"](handed_over(name), {})
            with pytest.raises(KernelError):
                await verbs[verb](text, parameters)
            assert [secret.reveal() for secret in daemon.reconciler.handed_over.values()] == [f"secret of {name}"]

    try:
        asyncio.run(commands())
    finally:
        daemon.close()


def test_what_a_pass_puts_right_by_itself_is_counted_by_kind_and_what_an_order_changes_is_not(
    monkeypatch: pytest.MonkeyPatch, in_force: OrderInForce, tmp_path: Path
) -> None:
    router = FakeRouter(tmp_path, monkeypatch)
    router.kernel.refuse("RTM_NEWQDISC", code=12)
    order = parse_order(FOUR, "order.yaml").order
    ordered = router.run(order)
    kinds = Counter(operation.key.type for operation in ordered.done.operations)
    assert kinds["address"] == kinds["shaper"] == 4
    for link in sorted(router.kernel.names & {f"eth1.{vlan}" for vlan in range(1, 200)}):
        for address in router.kernel.addresses(link):
            router.kernel.remove_address(link, address)
    passes = iter([ordered, router.run(order)])
    daemon = Service(in_force)
    monkeypatch.setattr(daemon.reconciler, "run", lambda *_: next(passes))

    async def an_order_and_a_look() -> tuple[dict[str, int], str]:
        daemon.queue.order_changed()
        await daemon.runner.make()
        assert counts(daemon._outlook.metrics().drift_repaired) == {}
        daemon.queue.ask()
        await daemon.runner.make()
        shown = daemon._outlook.snapshot()
        return dict(shown.passes.drift_repaired), daemon._outlook.metrics().render(shown, TEXT.encoder).decode()

    try:
        repaired, text = asyncio.run(an_order_and_a_look())
    finally:
        daemon.close()
    assert repaired == {"address": 4}, "what failed, as the shapers, is not repaired"
    assert '\ndcedge_drift_repaired_total{resource="address"} 4.0\n' in text
    assert "\ndcedge_reconcile_duration_seconds_count 2.0\n" in text


def test_an_order_stands_though_probes_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch, in_force: OrderInForce, tmp_path: Path
) -> None:
    router = FakeRouter(tmp_path, monkeypatch)
    result = router.run(parse_order(FOUR, "order.yaml").order)
    daemon = Service(in_force)
    monkeypatch.setattr(daemon.reconciler, "run", lambda *_: result)

    def refuses(*_: object) -> None:
        raise KernelError("no raw socket for ipv4 probes: Operation not permitted", 1)

    monkeypatch.setattr(daemon._prober, "_open_socket", refuses)

    async def apply() -> tuple[Mapping[str, object], tuple[str, ...]]:
        daemon._prober.start()
        answer = await daemon.commands.by_verb["apply"](FOUR, {"confirm": "60"})
        return answer, daemon._outlook.snapshot().passes.notes

    try:
        answer, notes = asyncio.run(apply())
    finally:
        daemon.close()
    assert answer["confirm_seconds"]
    assert "rolled_back" not in answer
    assert [note for note in notes if note.startswith("probes cannot be sent: no raw socket for ipv4")]


def test_a_kernel_without_nfnetlink_ends_no_daemon(
    monkeypatch: pytest.MonkeyPatch, in_force: OrderInForce, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(_: FirewallEvents) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(FirewallEvents, "__init__", unknown)
    daemon = Service(in_force)
    try:
        daemon.on_firewall_event()
        assert daemon.on_firewall_event not in [listener for _, listener in daemon._heard()]
    finally:
        daemon.close()
    assert "changes of nftables' rules are not detected at once: Protocol not supported" in caplog.text
