"""The daemon: its parts, wired together, from start to SIGTERM.

The data plane comes first: whatever else cannot be had (a socket, an address for HTTP, a state file) is told, and tried
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from dcedge.api.control.control_server import ControlServer
from dcedge.api.http.endpoint import HttpEndpoint
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.daemon.commands import Commands
from dcedge.daemon.consequences import Consequences
from dcedge.daemon.outlook import Outlook
from dcedge.daemon.passes import PassRunner
from dcedge.daemon.sigusr1 import dump_on_signal
from dcedge.daemon.systemd import PASS_SECONDS_MAX, Supervisor, status_line
from dcedge.daemon.tasks import Tasks
from dcedge.errors import BusyError, DcedgeError
from dcedge.firewall.nft import FirewallEvents
from dcedge.frr.closed import ClosedConnections
from dcedge.frr.vty import FrrClient
from dcedge.kernel.events import EventSocket
from dcedge.kernel.port.hardware import HardwareReader, ports_of
from dcedge.logging.handlers import CollapsingHandler
from dcedge.monitor.poller import POLL_SECONDS, Poller
from dcedge.monitor.preflight.results import log_results
from dcedge.monitor.preflight.run import run_start_checks
from dcedge.monitor.status_collector import Sample, StatusCollector
from dcedge.order.load import Loaded
from dcedge.probe.prober import Prober
from dcedge.probe.stamping import Stamping
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.queue import PassQueue
from dcedge.reconcile.reconciler import Reconciler
from dcedge.reconcile.result import DirtySet, PassResult
from dcedge.reconcile.state.writer import StateWriter

log = logging.getLogger(__name__)

HARDWARE_SECONDS = 60.0  # between two looks at light and speed, while nothing is heard of the ports
PORT_SETTLES_SECONDS = 2.0  # from what is heard of a port until it has negotiated
FILES_SECONDS = 2.0  # between two looks at the order file
REOPEN_SECONDS = 2.0  # between two tries to listen


class ChangeSocket(Protocol):
    """A socket that tells of changes."""

    def fileno(self) -> int:
        """For the event loop."""

    def close(self) -> None:
        """Close it."""


class Service:
    """One router's daemon, which keeps it at the order in force until `close`."""

    def __init__(self, in_force: OrderInForce, log_handler: CollapsingHandler | None = None) -> None:
        self.in_force = in_force
        settings = in_force.settings
        self._events = EventSocket()
        self._firewall_events = FirewallEvents.where_heard()
        self._closed_connections = ClosedConnections.where_heard()
        self._heard_closed = 0.0  # when a connection's end last called for a poll (monotonic)
        self._due = asyncio.Event()
        self.queue = PassQueue(changed=self._due.set)
        # A mass of changes of our own makes events enough for another full resync, which has just been made.
        self.reconciler = Reconciler(settings, in_force.store, FrrClient(settings.frr_pathspace), self._events.forget)
        self._prober, self._stamping, self._collector = Prober(), Stamping(), StatusCollector()
        metrics = DaemonMetrics()
        self.runner = PassRunner(
            in_force, self.reconciler, self.queue, self._prober, self._stamping, metrics, log_handler
        )
        # What one client knows of a silent daemon, the other need not find out by waiting.
        poll_frr = FrrClient(settings.frr_pathspace, silent=self.reconciler.frr.silent)
        self.poller = Poller(in_force, poll_frr, lambda: self.runner.result, self._collector, self._prober)
        self._consequences = Consequences(in_force, self.queue, self._prober, poll_frr)
        self._state_writer = StateWriter(in_force.store.files.owed)
        self.commands = Commands(
            in_force, self.reconciler, self.runner, self.queue, self._collector, self.poller.poll,
            self._state_writer.written,
        )  # fmt: skip
        self._hardware = HardwareReader()
        self._port_changed = asyncio.Event()
        self._ports_seen: frozenset[int] = frozenset()
        self._tasks = Tasks(metrics.task_failures)
        self._troubles: dict[str, str] = {}  # what beside the data plane cannot be had, by its name
        self._outlook = Outlook(
            in_force, self.reconciler, self.queue, self.runner, self.poller, self._collector, self._prober,
            self._stamping, self.commands, metrics, lambda: iter(tuple(self._troubles.values())),
        )  # fmt: skip
        self._http = HttpEndpoint(self._outlook)
        self._listens_for: Loaded | None = None
        self._host_checked = False
        self._supervisor = Supervisor()
        self.runner.ended = self.commands.transaction.passed
        self.poller.polled = self._polled
        self.commands.order_taken = self._listen
        self._stop = asyncio.Event()
        self.commands.end = self._stop.set

    def close(self) -> None:
        """Close every socket; what is in the kernel and in FRR stays."""
        self._prober.close()
        self._stamping.close()
        self._hardware.close()
        for heard, _ in self._heard():
            heard.close()
        self.poller.close()
        self.reconciler.frr.close()
        self.reconciler.close()

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT. Raises BusyError where another daemon answers on the control socket."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.once("reload", self.commands.reload_on_signal()))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        dump_on_signal(loop, self._pass_lines)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._state_writer.close)
            stack.push_async_callback(self._tasks.stop)
            self._tasks.keep("state files", self._state_writer.run)
            # First of all: an order that nobody has confirmed.
            self._tasks.keep("transaction", self.commands.transaction.watch)
            # The control socket next: until a pass has been made it says so, which beats "not running".
            control = ControlServer(self._outlook, self.in_force.settings.socket)
            stack.push_async_callback(control.close)
            try:
                await control.start()
            except BusyError:
                raise
            except DcedgeError as error:
                log.error("%s", error)
                self._tasks.keep("control socket", lambda: self._start_later(control))
            self._prober.start()
            for heard, listener in self._heard():
                loop.add_reader(heard.fileno(), listener)
                stack.callback(loop.remove_reader, heard.fileno())
            self.queue.order_changed()
            self._tasks.keep("passes", self._passes)
            self._tasks.once("history", self.poller.recall_history())
            self._tasks.keep("polls", self.poller.poll_forever)
            self._tasks.keep("hardware", self._look_at_hardware)
            self._tasks.keep("order file", self._look_at_order_file)
            stack.push_async_callback(self._http.close)
            self._tasks.keep("http", self._serve_http)
            await self._stop.wait()
            self._supervisor.stopping()

    async def _passes(self) -> None:
        """Make every pass as it becomes due."""
        while True:
            self._due.clear()
            if (wait := self.queue.seconds_until_due()) > 0:
                with contextlib.suppress(TimeoutError):
                    waiting = asyncio.wait_for(self._due.wait(), wait)
                    await self._supervisor.watch(waiting, wait + POLL_SECONDS)
                continue
            try:
                await self._supervisor.watch(self.runner.make_due(), PASS_SECONDS_MAX)
            finally:
                self._supervisor.ready()
            if not self.poller.busy:
                # Beside the loop: a daemon of FRR's that is silent holds up no pass.
                self._tasks.once("poll after a pass", self.poller.poll())

    def _pass_lines(self) -> Iterator[str]:
        """The last passes, and what of the queue is known: for who asks by SIGUSR1."""
        yield "passes, the latest one last:"
        yield from (f"  {line}" for line in self.runner.log.lines())
        asked = "; ".join(self.queue.waiting) or "regular full resync"
        yield f"the next pass is due in {self.queue.seconds_until_due():.1f} s: {asked}"

    async def _polled(self, before: Sample | None, sample: Sample) -> None:
        await self._consequences.heed(before, sample, self.runner.result)
        if self.runner.result is not None:
            if self.runner.ports != self._ports_seen:
                self._ports_seen = self.runner.ports
                self._port_changed.set()
            self._supervisor.status(lambda: status_line(self._outlook.snapshot()))
            if not self._host_checked:  # what is urgent is done
                self._host_checked = True
                self._tasks.once("pre-flight", self._look_at_host(self.runner.result))

    async def _start_later(self, control: ControlServer) -> None:
        """Try again to have the control socket, until it is there."""
        while True:
            await asyncio.sleep(REOPEN_SECONDS)
            try:
                await control.start()
                break
            except DcedgeError as error:
                self._troubles["control socket"] = str(error)
        self._troubles.pop("control socket", None)

    async def _serve_http(self) -> None:
        """Have HTTP where the order in force wants it: an address may be another's now, or not there yet."""
        while True:
            if "http" in self._troubles or self.in_force.loaded is not self._listens_for:
                await self._listen()
            await asyncio.sleep(REOPEN_SECONDS)

    async def _listen(self) -> str:
        """Serve HTTP as the order in force has it; why that is not so, where it is not."""
        self._listens_for = loaded = self.in_force.loaded
        assert loaded is not None
        agent = loaded.order.agent
        web_config = Path(agent.web_config) if agent.web_config is not None else None
        try:
            await self._http.serve_at(self.in_force.settings.listen or agent.listen, web_config, agent.hosts)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the data plane's, and is tried again
            said = f"HTTP is not served as ordered: {error}"
            if self._troubles.get("http") != said:
                log.error("%s", said)
            self._troubles["http"] = said
            return said
        if self._troubles.pop("http", None):
            log.info("HTTP is served as ordered")
        return ""

    async def _look_at_hardware(self) -> None:
        """Ask the ports' drivers for speed, duplex and light: slow, so seldom, and beside everything else."""
        while True:
            self._port_changed.clear()
            if self.in_force.loaded is not None:
                own = self.runner.result.intent.ports if self.runner.result is not None else {}
                ports = [own.get(name, name) for name in ports_of(self.in_force.loaded.order)]
                self._collector.hardware = await asyncio.to_thread(self._hardware.read, ports)
                known = self.runner.result.intent.host.speeds if self.runner.result is not None else None
                if known is not None and any(
                    known.get(port) != speed for port, speed in self._collector.hardware.speeds.items()
                ):
                    self.queue.ask(why="a port runs at another speed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._port_changed.wait(), HARDWARE_SECONDS)
                await asyncio.sleep(PORT_SETTLES_SECONDS)

    async def _look_at_host(self, result: PassResult) -> None:
        """Say in the log what of this machine would keep the order from working."""
        settings = self.in_force.settings
        log_results(await asyncio.to_thread(run_start_checks, settings, result.intent, result.indices))

    async def _look_at_order_file(self) -> None:
        """See whether the order file still says what is in force."""
        while True:
            await asyncio.sleep(FILES_SECONDS)
            await asyncio.to_thread(self.in_force.look_at_file)

    def _heard(self) -> Iterator[tuple[ChangeSocket, Callable[[], None]]]:
        """What tells of changes, and who listens."""
        yield self._events, self.on_event
        if self._firewall_events is not None:
            yield self._firewall_events, self.on_firewall_event
        if self._closed_connections is not None:
            yield self._closed_connections, self.on_closed_connection

    def on_event(self) -> None:
        """The kernel said that something changed."""
        changed = self._events.changed()
        if changed is None:
            self.queue.ask(why="kernel events were lost")
        elif changed.links or changed.settings:
            dirty = DirtySet(changed.links, changed.queues, settings=changed.settings)
            self.queue.ask(dirty, "kernel event")
            if changed.links & self.runner.static_links:
                self.poller.soon()
            if changed.links & self.runner.ports:
                self._port_changed.set()

    def on_firewall_event(self) -> None:
        """nftables' rules changed."""
        if self._firewall_events is not None and self._firewall_events.changed():
            self.queue.ask(DirtySet(firewall=True), "nftables' rules changed")

    def on_closed_connection(self) -> None:
        """A TCP connection was closed: FRR is asked why at once where it was BGP's, though not for each of many."""
        assert self._closed_connections is not None
        now = time.monotonic()
        if self._closed_connections.any_of_bgp() and now - self._heard_closed > POLL_SECONDS:
            self._heard_closed = now
            self.poller.soon()
