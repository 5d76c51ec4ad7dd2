"""FRR's daemons as clients see them: read over their vty sockets, written to by one `vtysh -f`.

All calls block, each for a bounded time; they belong in a worker thread. One client serves one thread at a time.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from dcedge.bgp.config import FrrConfig, mask
from dcedge.bgp.state import BfdPeer, SessionReader, SessionState, escape, parse_bfd
from dcedge.errors import FrrError, FrrUnavailableError

# The order in which they must start: zebra serves the others, bgpd asks bfdd.
DAEMONS = ("zebra", "bfdd", "bgpd")
RUN_FOLDER = Path("/var/run/frr")
ANSWER_SECONDS = 5.0
# What a daemon that was silent once gets, until it answers again: whoever else is waiting must not wait for it.
SILENT_SECONDS = 0.5
WRITE_SECONDS = 30.0  # and for each line that is written
WRITE_SECONDS_PER_LINE = 0.01
_REPLY_END = b"\0\0\0"  # then one byte, the status (vty_sock_serv in lib/vty.c)
_ANSWER_MAX = 256 * 1024 * 1024
_FAILURE = re.compile(r"line (?P<number>\d+): (?P<what>.*)")
# Debian's PAM settings of vtysh know no accounts, so that PAM asks a set-user-ID helper about any user but root, which
# a service without new privileges cannot run. vtysh says so (without a line's end) and goes on.
_PAM = re.compile(r"vtysh_pam: Failed in account validation: [^()]*\(\d+\)")


@dataclass(frozen=True, slots=True)
class Failure:
    """One line that FRR refused, secrets hidden."""

    line: str
    said: str

    def __str__(self) -> str:
        return f"`{self.line}`: {self.said}"


class FrrRejectedError(FrrError):
    """FRR refused lines of a change; it has applied the others."""

    def __init__(self, failures: tuple[Failure, ...]) -> None:
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        super().__init__("FRR refused " + "; ".join(str(failure) for failure in failures[:5]) + more)
        self.failures = failures


class FrrClient:
    """One FRR. `pathspace` is vtysh's `-N`; None is the machine's own instance.

    `silent` are the daemons that did not answer in time when they were last asked; clients may share the set.
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
        self._sockets: dict[str, socket.socket] = {}
        self._lock = threading.Lock()
        self._reader = SessionReader()
        self._read: tuple[bytes, FrrConfig] = b"", FrrConfig()

    def close(self) -> None:
        """Close the sockets; a later call opens them anew."""
        with self._lock:
            for connection in self._sockets.values():
                connection.close()
            self._sockets.clear()

    def ask(self, daemon: str, command: str, *, timeout: float | None = None) -> str:
        """What the daemon prints for a command, within `timeout` seconds (else the client's own).

        Raises:
            FrrUnavailableError: It is not there or does not answer in time.
            FrrError: It refused the command.
        """
        patience = self._timeout if timeout is None else min(timeout, self._timeout)
        with self._lock:
            if daemon in self.silent:
                self._answer(daemon, "show version", min(SILENT_SECONDS, patience))
            answer, status = self._answer(daemon, command, patience)
        if status != 0:
            raise FrrError(f"{daemon} refused `{mask(command)}`: {escape(mask(answer.strip()))} (status {status})")
        return answer

    def _answer(self, daemon: str, command: str, patience: float) -> tuple[str, int]:
        deadline = time.monotonic() + patience
        # A daemon may have been restarted since the last question: an old connection gets a second try.
        for last in (daemon not in self._sockets, True):
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
        return answer

    def unavailable(self) -> dict[str, str]:
        """The daemons that are needed and cannot be used now, in the order to start them, each with the reason."""
        reasons = {}
        for daemon in DAEMONS:
            try:
                self.ask(daemon, "show version")
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
        """Seconds since the daemon that started last did so; None where that is not known."""
        starts = []
        for daemon in DAEMONS:
            with contextlib.suppress(OSError):
                starts.append((self._folder / f"{daemon}.pid").stat().st_mtime)
        return time.time() - max(starts) if starts else None

    def running_config(self) -> FrrConfig:
        """What bgpd and bfdd run with now.

        Each is asked itself, and for its own: prefix-lists go to all daemons, so that vtysh's sum, and bfdd too, still
        show them when bgpd has been restarted and has none.
        """
        texts = [self.ask(daemon, "show running-config") for daemon in ("bgpd", "bfdd")]
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

    def apply(self, text: str) -> None:
        """Feed configuration lines to the daemons; nothing for an empty text.

        vtysh goes on after a line that fails, so after an error as after success read the configuration back.
        The text goes through a pipe: no file and no process list ever shows a secret.

        Raises:
            FrrRejectedError: Lines were refused.
            FrrUnavailableError: A daemon is missing or wedged.
        """
        if not text:
            return
        if reasons := self.unavailable():
            raise FrrUnavailableError("; ".join(reasons.values()))
        done = self._run(["-f", "/dev/stdin"], text)
        if failures := _failures(text, done):
            raise FrrRejectedError(failures)

    def write_config(self) -> None:
        """Persist the running configuration (`write`), so that FRR comes up with it without the agent.

        Raises:
            FrrError: It was not written.
        """
        if reasons := self.unavailable():  # vtysh would wait for a wedged one
            raise FrrUnavailableError("; ".join(reasons.values()))
        done = self._run(["-c", "write memory"], "")
        said = escape(mask((done.stdout + _PAM.sub("", done.stderr)).strip()))
        if done.returncode != 0 or "[OK]" not in done.stdout:
            raise FrrError(f"FRR did not save its configuration: {said}")

    def _run(self, arguments: list[str], text: str) -> subprocess.CompletedProcess[str]:
        patience = WRITE_SECONDS + WRITE_SECONDS_PER_LINE * text.count("\n")
        try:
            return subprocess.run(
                [*self._vtysh, *arguments],
                input=text,
                capture_output=True,
                text=True,
                errors="backslashreplace",
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired:
            # `from None`: the expired call carries its input, and with it the secrets.
            raise FrrUnavailableError(f"vtysh did not end within {patience:g} s") from None
        except FileNotFoundError as error:
            raise FrrUnavailableError("vtysh is not installed") from error

    def _absent(self, daemon: str, error: OSError) -> FrrUnavailableError:
        if isinstance(error, PermissionError):
            return FrrUnavailableError(f"{daemon}: no permission for {self._folder} (membership of group frrvty)")
        return FrrUnavailableError(f"{daemon} is not running ({self._folder / daemon}.vty: {error.strerror or error})")

    def _drop(self, daemon: str) -> None:
        if connection := self._sockets.pop(daemon, None):
            connection.close()

    def _exchange(self, daemon: str, command: str, deadline: float) -> tuple[str, int]:
        connection = self._sockets.get(daemon)
        if connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._sockets[daemon] = connection
            connection.settimeout(max(deadline - time.monotonic(), 0.01))
            connection.connect(str(self._folder / f"{daemon}.vty"))
            _send(connection, "enable", deadline)
        return _send(connection, command, deadline)


def _send(connection: socket.socket, command: str, deadline: float) -> tuple[str, int]:
    connection.settimeout(max(deadline - time.monotonic(), 0.01))
    connection.sendall(command.encode() + b"\0")
    answer = bytearray()
    while len(answer) < 4 or answer[-4:-1] != _REPLY_END:
        connection.settimeout(max(deadline - time.monotonic(), 0.01))
        piece = connection.recv(1 << 18)
        if not piece:
            raise ConnectionResetError("closed in the middle of an answer")
        answer += piece
        if len(answer) > _ANSWER_MAX:
            raise ConnectionResetError("the answer does not end")
    return answer[:-4].decode("utf-8", "backslashreplace"), answer[-1]


def _with_bfd(state: SessionState, peer: BfdPeer | None) -> SessionState:
    if peer is None:
        return state
    return replace(state, bfd=peer.status.lower(), bfd_detection_ms=peer.detection_ms)


def _failures(text: str, done: subprocess.CompletedProcess[str]) -> tuple[Failure, ...]:
    lines = text.split("\n")
    # What a daemon says of a refused line goes to stdout, the line's number to stderr.
    reasons = [said.strip("% ").strip() for said in done.stdout.split("\n") if said.startswith("%")]
    failures = []
    for entry in _PAM.sub("", done.stderr).split("\n"):
        if not entry.strip():
            continue
        found = _FAILURE.match(entry)
        if found is None:
            failures.append(Failure("", escape(mask(entry.strip()))))
            continue
        number = int(found["number"])
        line = mask(lines[number - 1]).strip() if number <= len(lines) else "?"
        what = found["what"].partition(", line:")[0].strip("% ")
        if not what.startswith("Unknown command") and reasons:
            what = reasons.pop(0)
        failures.append(Failure(line, escape(mask(what))))
    if done.returncode != 0 and not failures:
        failures.append(Failure("", f"vtysh ended with status {done.returncode}"))
    return tuple(failures)
