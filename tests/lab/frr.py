"""A real FRR of one's own, in a network namespace: started with `-N NAME`, stopped, every file of it removed.

Each instance has its own sockets in /run/frr/NAME and its own files in /etc/frr/NAME, so many run side by
side, and beside the machine's own FRR.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from dcedge.errors import FrrError
from dcedge.frr.vty import FrrClient
from tests.lab.wait import PATIENCE_SECONDS

DAEMON_FOLDER = Path("/usr/lib/frr")
NICE = ("nice", "-n", "-5")  # as Debian's frr.service runs it, for BFD's sake
START_ORDER = ("zebra", "staticd", "bfdd", "bgpd")
ANSWERS_FOR = {"bgp": "bgpd", "bfd": "bfdd"}  # by the word after `show`: whose socket knows


FRR_LACKS = "which this FRR does not have: "


def lacks(what: str) -> NoReturn:
    """Skip a test for what is FRR's own lack, in its version."""
    import pytest  # the demo does without

    pytest.skip(f"{FRR_LACKS}{what}")


class LabFrrError(AssertionError):
    """FRR did not do what the test asked of it; the text holds what it said."""


class Frr:
    """One FRR instance.

    `name` is the pathspace (`vtysh -N name`), `netns` the namespace (None: this one), `max_fds` the
    descriptors that a daemon may use (one a BGP peer at least).
    """

    def __init__(
        self,
        name: str,
        netns: str | None = None,
        daemons: Sequence[str] = ("zebra", "bgpd", "bfdd"),
        *,
        max_fds: int = 1024,
    ) -> None:
        self.name = name
        self.netns = netns
        self.daemons = tuple(sorted(daemons, key=_start_rank))
        self.max_fds = max_fds
        self.sockets = Path("/run/frr") / name
        self.folder = Path("/etc/frr") / name
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # A vtysh is 0.3 s in the lab kernel; the daemons' sockets answer at once.
        self._client = FrrClient(name, timeout=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        if not self._running:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """All that the daemons have printed."""
        return "".join(f"--- {path.stem}\n{path.read_text(errors='replace')}" for path in self.sockets.glob("*.out"))

    @property
    def version(self) -> str:
        """What bgpd says that it is: `10.3`."""
        return self._client.ask("bgpd", "show version").split()[1]

    def start(self, config: str = "") -> None:
        """Start every daemon, wait until each answers, load `config`."""
        for folder in (self.sockets, self.folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            folder.chmod(0o755)
            shutil.chown(folder, "frr", "frr")
        self._write("vtysh.conf", "service integrated-vtysh-config\n")
        self._write("frr.conf", config)
        try:
            self.boot()
        except BaseException:
            self.stop()
            raise

    def boot(self) -> None:
        """Start every daemon and load what is saved, as the machine's start does."""
        # The others look for zebra once, and then again only after ten seconds.
        first, *others = self.daemons
        self.start_daemon(first)
        for daemon in others:
            self._launch(daemon)
        for daemon in others:
            self._await(daemon)
        self.read_saved()

    def read_saved(self) -> None:
        """Load what is saved, as watchfrr does when it has started a daemon: a line that FRR refuses stops no other.

        It refuses some that are so already, as when dcedge has written them meanwhile.
        """
        if self.saved:
            words = ["vtysh", "-N", self.name, "-b"]
            subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        """SIGKILL every daemon; their files stay."""
        for daemon in reversed(self.daemons):
            self.stop_daemon(daemon, signal.SIGKILL)

    @property
    def saved(self) -> str:
        """The configuration that FRR would start with; nothing in the moment in which vtysh replaces it."""
        file = self.folder / "frr.conf"
        return file.read_text() if file.exists() else ""

    @saved.setter
    def saved(self, config: str) -> None:
        self._write("frr.conf", config)

    def stop(self) -> None:
        """Stop every daemon and remove every file; fine when it is not running."""
        for daemon in reversed(self.daemons):
            self.stop_daemon(daemon)
        self._client.close()
        for folder in (self.sockets, self.folder):
            shutil.rmtree(folder, ignore_errors=True)

    def start_daemon(self, daemon: str) -> None:
        """Start one daemon with an empty configuration and wait until it answers."""
        self._launch(daemon)
        self._await(daemon)

    def _launch(self, daemon: str) -> None:
        if daemon in self._running:
            return
        enter = ["ip", "netns", "exec", self.netns] if self.netns else []
        # Port 0: no TCP vty, which all instances of one namespace would fight for.
        command = [*NICE, *enter, str(DAEMON_FOLDER / daemon), "-N", self.name, "-P", "0", "--log", "stdout"]
        command += ["--limit-fds", str(self.max_fds)]
        if daemon == "zebra":
            command.append("--v6-rr-semantics")  # an IPv6 route is replaced in one step, as the README has it
        with (self.sockets / f"{daemon}.out").open("ab") as output:
            self._running[daemon] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def _await(self, daemon: str) -> None:
        process = self._running[daemon]

        def answers() -> str | None:
            if process.poll() is not None:
                raise LabFrrError(f"{daemon} ended with status {process.returncode}\n{self.log}")
            try:
                self._client.ask(daemon, "show version")
            except FrrError as error:
                return str(error)
            return None

        _wait(answers, f"{daemon} to answer")

    def stop_daemon(self, daemon: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End one daemon with signal `how`; SIGKILL follows where it does not end. A wedged one is woken."""
        process = self._running.pop(daemon, None)
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal_daemon(self, daemon: str, number: signal.Signals) -> None:
        """Send one daemon a signal: SIGSTOP wedges it, SIGCONT wakes it."""
        self._running[daemon].send_signal(number)

    def process(self, daemon: str) -> int:
        """The process ID of a running daemon."""
        return self._running[daemon].pid

    def vtysh(self, *commands: str) -> str:
        """What vtysh prints for the commands, one after the other; raises where it fails."""
        arguments = [part for command in commands for part in ("-c", command)]
        return self._run(["vtysh", "-N", self.name, *arguments])

    def load(self, text: str) -> None:
        """Feed configuration lines to the running daemons."""
        # A file, which every child of vtysh's can read from its beginning (from FRR 9 on there is one a daemon).
        with tempfile.NamedTemporaryFile("w", dir=self.sockets, suffix=".conf") as file:
            file.write(text)
            file.flush()
            self._run(["vtysh", "-N", self.name, "-f", file.name])

    def ask(self, daemon: str, command: str) -> str:
        """What one daemon prints for a command."""
        return self._client.ask(daemon, command)

    def json(self, command: str) -> Any:
        """The JSON that FRR answers to a `show … json`."""
        daemon = ANSWERS_FOR.get(command.split()[1])
        return json.loads(self.vtysh(command) if daemon is None else self._client.ask(daemon, command))

    def wait_established(self, *peers: str, vrf: str = "all") -> None:
        """Wait until each of the peers' sessions is established."""

        def waits() -> str | None:
            known = self.json(f"show bgp vrf {vrf} neighbors json")
            tables = known.values() if vrf == "all" else [known]
            states = {
                peer: facts["bgpState"]
                for table in tables
                for peer, facts in table.items()
                if isinstance(facts, dict) and "bgpState" in facts
            }
            down = {peer: states.get(peer, "absent") for peer in peers if states.get(peer) != "Established"}
            return f"sessions not established: {down}\n{self.log}" if down else None

        _wait(waits, "sessions to come up")

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o640)
        shutil.chown(path, "frr", "frr")

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
        if done.returncode != 0:
            raise LabFrrError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout


def written(config: str) -> set[str]:
    """The lines of a configuration that dcedge and the operator wrote; FRR's own preamble differs after a start."""
    skipped = ("!", "frr ", "hostname ", "service ", "Building", "Current", "no ip forwarding", "no ipv6 forwarding")
    return {line for line in config.splitlines() if line.strip() and not line.startswith(skipped)} - {"end"}


def _start_rank(daemon: str) -> int:
    return START_ORDER.index(daemon) if daemon in START_ORDER else len(START_ORDER)


def _wait(missing: Callable[[], str | None], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until `missing` returns None; fail with what it said last."""
    deadline = time.monotonic() + seconds
    while (said := missing()) is not None:
        if time.monotonic() > deadline:
            raise LabFrrError(f"waited {seconds:g} s for {what}; last: {said}")
        time.sleep(0.05)
