"""FRR's daemons as clients see them: read, configured, and told to save what they run with.

All calls block, each for a bounded time; they belong in a worker thread. One client serves one thread at a time.
"""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.config import FrrConfig, mask
from dcedge.frr.feed import FrrRejectedError, Vty, blocks_of, feed
from dcedge.frr.sessions import SessionReader
from dcedge.frr.state import BfdPeer, SessionState, escape, parse_bfd, parse_vrfs

log = logging.getLogger(__name__)

# The order in which they must start: zebra serves the others, bgpd asks bfdd.
DAEMONS = ("zebra", "bfdd", "bgpd")
WITHOUT_BFD = ("zebra", "bgpd")
RUN_FOLDER = Path("/var/run/frr")
ANSWER_SECONDS = 5.0
# What a daemon that was silent once gets, until it answers again: whoever else is waiting must not wait for it.
SILENT_SECONDS = 0.5
# What each of those that we do not need gets; vtysh waits for them all, and for ever.
OTHERS_SECONDS = 1.0
SAVE_SECONDS, WATCH_SECONDS = 60.0, 2.0
_SHOW_VERSION = "show version"
_VERSION = re.compile(r"FRRouting (\S+)")
# Debian's PAM settings of vtysh know no accounts, so that PAM asks a set-user-ID helper about any user but root, which
# a service without new privileges cannot run. vtysh says so (without a line's end) and goes on.
_PAM = re.compile(r"vtysh_pam: Failed in account validation: [^()]*\(\d+\)")


class FrrClient:
    """One FRR. `pathspace` is vtysh's `-N`; None is the machine's own instance.

    `silent` are the daemons that did not answer in time when they were last asked; clients may share the set.
    `needed` are those that the order needs: bfdd where it has BFD. `bfdd_absence` says why bfdd did not tell what it
    runs with; empty where it did.
    """

    def __init__(
        self,
        pathspace: str | None = None,
        *,
        run_folder: Path = RUN_FOLDER,
        timeout: float = ANSWER_SECONDS,
        silent: set[str] | None = None,
    ) -> None:
        self._folder = run_folder / pathspace if pathspace else run_folder
        self._vtysh = ["vtysh", *(["-N", pathspace] if pathspace else [])]
        self._timeout = timeout
        self.silent: set[str] = set() if silent is None else silent
        self.needed: tuple[str, ...] = DAEMONS
        self.bfdd_absence = ""
        self._open: dict[str, Vty] = {}
        self.version: str | None = None  # of bgpd, when it last answered
        self._seen: dict[str, tuple[int, float]] = {}  # a daemon's file was written, and when that was (monotonic)
        self._lock = threading.Lock()
        self._reader = SessionReader()
        self._read: tuple[bytes, FrrConfig] = b"", FrrConfig()

    def close(self) -> None:
        """Close the sockets; a later call opens them anew."""
        with self._lock:
            for connection in self._open.values():
                connection.close()
            self._open.clear()

    def ask(self, daemon: str, command: str, *, timeout: float | None = None) -> str:
        """What the daemon prints for a command, within `timeout` seconds (else the client's own).

        Raises:
            FrrUnavailableError: It is not there or does not answer in time.
            FrrError: It refused the command.
        """
        patience = self._timeout if timeout is None else min(timeout, self._timeout)
        with self._lock:
            if daemon in self.silent:
                self._answer(daemon, _SHOW_VERSION, min(SILENT_SECONDS, patience))
            answer, status = self._answer(daemon, command, patience)
        if status != 0:
            raise FrrError(f"{daemon} refused `{mask(command)}`: {escape(mask(answer.strip()))} (status {status})")
        return answer

    def _answer(self, daemon: str, command: str, patience: float) -> tuple[str, int]:
        deadline = time.monotonic() + patience
        # A daemon may have been restarted since the last question: an old connection gets a second try.
        for last in (daemon not in self._open, True):
            try:
                answer = self._exchange(daemon, command, deadline)
                break
            except (
                TimeoutError,
                BlockingIOError,
            ):  # the latter: so many wait that no more are let in (unix(7), EAGAIN)
                self._drop(daemon)
                self.silent.add(daemon)
                raise FrrUnavailableError(f"{daemon} does not answer") from None
            except OSError as error:
                self._drop(daemon)
                if last:
                    raise self._absent(daemon, error) from error
        self.silent.discard(daemon)
        if daemon == "bgpd" and command == _SHOW_VERSION and (found := _VERSION.match(answer[0])):
            self.version = found[1]
        return answer

    def unavailable(self) -> dict[str, str]:
        """The daemons that are needed and cannot be used now, in the order to start them, each with the reason."""
        reasons = {}
        for daemon in self.needed:
            try:
                self.ask(daemon, _SHOW_VERSION)
            except FrrError as error:
                reasons[daemon] = str(error)
        return reasons

    def processes(self) -> dict[str, int]:
        """The daemons' process IDs, as far as their files in the run folder tell."""
        found = {}
        for daemon in DAEMONS:
            with contextlib.suppress(OSError, ValueError):
                found[daemon] = int((self._folder / f"{daemon}.pid").read_text())
        return found

    def age(self) -> float | None:
        """Seconds since the daemon that started last did so; None where that is not known.

        Once it has been seen no change of the clock matters; a file from the future is as old as it is known.
        """
        now, ages = time.monotonic(), []
        for daemon in DAEMONS:
            with contextlib.suppress(OSError):
                written = (self._folder / f"{daemon}.pid").stat().st_mtime_ns
                if self._seen.get(daemon, (0, 0.0))[0] != written:
                    self._seen[daemon] = written, now - max(time.time() - written / 1e9, 0.0)
                ages.append(now - self._seen[daemon][1])
        return min(ages) if ages else None

    def running_config(self) -> FrrConfig:
        """What bgpd and bfdd run with now; bgpd alone where bfdd does not answer, which `bfdd_absence` then tells.

        Each is asked itself, and for its own: prefix-lists go to all daemons, so that vtysh's sum, and bfdd too, still
        show them when bgpd has been restarted and has none.
        """
        texts = [self.ask("bgpd", "show running-config"), ""]
        self.bfdd_absence = ""
        try:
            texts[1] = self.ask("bfdd", "show running-config")
        except FrrUnavailableError as error:
            self.bfdd_absence = str(error)
        digest = blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest != self._read[0]:  # mostly it is as it was the last time, which need not be parsed again
            bgpd, bfdd = map(FrrConfig.parse, texts)
            self._read = digest, bgpd.merged(bfdd.context("bfd"))
        return self._read[1]

    def sessions(self) -> tuple[SessionState, ...]:
        """Every BGP session of every VRF, the operator's too; `bfd` is `unknown` where bfdd does not answer."""
        states = self._reader.read(lambda question: self.ask("bgpd", question))
        try:
            bfd = {(peer.vrf, peer.peer): peer for peer in self.bfd_peers()}
        except FrrUnavailableError:
            return tuple(replace(state, bfd="unknown") for state in states)
        return tuple(_with_bfd(state, bfd.get(state.place)) for state in states) if bfd else states

    def bfd_peers(self) -> tuple[BfdPeer, ...]:
        """Every BFD session of every VRF."""
        return parse_bfd(self.ask("bfdd", "show bfd peers json"))

    def vrfs(self) -> frozenset[str]:
        """Every VRF that zebra has told the others of."""
        return parse_vrfs(self.ask("zebra", "show vrf"))

    def apply(self, text: str) -> None:
        """Feed configuration lines to the daemons; nothing for an empty text.

        A line that is refused stops no other, so after an error as after success read the configuration back.

        Raises:
            FrrRejectedError: Lines were refused.
            FrrUnavailableError: A daemon that is needed for them is missing or wedged.
        """
        if not text:
            return
        to_bfdd = any(block.daemon == "bfdd" for block in blocks_of(text))
        if reasons := [why for daemon, why in self.unavailable().items() if to_bfdd or daemon != "bfdd"]:
            raise FrrUnavailableError("; ".join(reasons))
        if failures := feed(text, self._connect):
            raise FrrRejectedError(failures)

    def feed_one(self, daemon: str, text: str) -> None:
        """Feed configuration lines to one daemon alone; what it refuses it does not have.

        Raises:
            FrrUnavailableError: It is missing or wedged.
        """
        for failure in feed(text, self._connect, only=daemon):
            log.debug("%s: %s", daemon, failure)

    def start_session(self, state: SessionState) -> None:
        """Have bgpd begin anew with a session that it leaves idle.

        Raises:
            FrrError: It refuses, or does not answer.
        """
        where = "" if state.vrf == "default" else f"vrf {state.vrf} "
        self.ask("bgpd", f"clear bgp {where}{state.peer}")

    def others(self) -> tuple[str, ...]:
        """The running daemons besides those that are needed, by their sockets."""
        found = (path.stem for path in self._folder.glob("*.vty"))
        return tuple(sorted(name for name in found if name not in self.needed))

    def wedged_others(self) -> tuple[str, ...]:
        """Those that do not answer, of the daemons that are not needed; vtysh, and who uses it, waits for them."""
        wedged = []
        for daemon in self.others():
            try:
                self.ask(daemon, _SHOW_VERSION, timeout=OTHERS_SECONDS)
            except FrrUnavailableError:
                if daemon in self.silent:  # else it has gone: its socket is left over
                    wedged.append(daemon)
            except FrrError:
                continue
        return tuple(wedged)

    def copies(self) -> Mapping[str, FrrConfig]:
        """What each daemon but bgpd runs with: vtysh gives them all the prefix-lists and route-maps of a file.

        mgmtd comes first: it passes on what it is told.

        Raises:
            FrrUnavailableError: One hangs.
        """
        found = {}
        for daemon in dict.fromkeys(("mgmtd", "zebra", "bfdd", *self.others())):
            try:
                found[daemon] = FrrConfig.parse(self.ask(daemon, "show running-config"))
            except FrrUnavailableError:
                if daemon in self.silent:  # else it does not run
                    raise
        return found

    def write_config(self) -> None:
        """Persist the running configuration (`write`), so that FRR comes up with it without the agent.

        Raises:
            FrrError: It was not written.
        """
        self._raise_if_one_hangs()
        words = [*self._vtysh, "-c", "write memory"]
        deadline = time.monotonic() + SAVE_SECONDS
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="backslashreplace",
            ) as process:
                try:
                    stdout, stderr = self._outcome(process, deadline)
                finally:
                    process.kill()
        except FileNotFoundError as error:
            raise FrrUnavailableError("vtysh is not installed") from error
        except OSError as error:
            raise FrrUnavailableError(f"vtysh cannot be started: {error.strerror or error}") from error
        if process.returncode != 0 or "[OK]" not in stdout:
            said = escape(mask((stdout + _PAM.sub("", stderr)).strip()))
            raise FrrError(f"vtysh says: {said}")

    def _outcome(self, process: subprocess.Popen[str], deadline: float) -> tuple[str, str]:
        """What vtysh prints until it ends; a daemon that hangs meanwhile is noticed, and not waited for."""
        while True:
            try:
                return process.communicate(timeout=WATCH_SECONDS)
            except subprocess.TimeoutExpired:
                self._raise_if_one_hangs()
                if time.monotonic() > deadline:
                    raise FrrUnavailableError(f"vtysh took over {SAVE_SECONDS:g} s") from None

    def _raise_if_one_hangs(self) -> None:
        """vtysh asks every daemon, and waits for ever.

        Raises:
            FrrUnavailableError: A daemon does not answer, or one that is needed is not there.
        """
        reasons = [*self.unavailable().values(), *(f"{daemon} does not answer" for daemon in self.wedged_others())]
        if reasons:
            raise FrrUnavailableError("; ".join(reasons))

    def _connect(self, daemon: str) -> Vty:
        try:
            return Vty(self._folder / f"{daemon}.vty", self._timeout)
        except TimeoutError:
            raise FrrUnavailableError(f"{daemon} does not answer") from None
        except OSError as error:
            raise self._absent(daemon, error) from error

    def _absent(self, daemon: str, error: OSError) -> FrrUnavailableError:
        if isinstance(error, PermissionError):
            return FrrUnavailableError(f"{daemon}: no permission for {self._folder} (membership of group frrvty)")
        return FrrUnavailableError(f"{daemon} is not running ({self._folder / daemon}.vty: {error.strerror or error})")

    def _drop(self, daemon: str) -> None:
        if connection := self._open.pop(daemon, None):
            connection.close()

    def _exchange(self, daemon: str, command: str, deadline: float) -> tuple[str, int]:
        connection = self._open.get(daemon)
        if connection is None:
            connection = self._open[daemon] = Vty(self._folder / f"{daemon}.vty", deadline - time.monotonic())
        return connection.ask(command, deadline - time.monotonic())


def _with_bfd(state: SessionState, peer: BfdPeer | None) -> SessionState:
    if peer is None:
        return state
    return replace(state, bfd=peer.status.lower(), bfd_detection_ms=peer.detection_ms)
