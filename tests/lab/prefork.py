"""`dcedge` as it is, without the time that Python takes to start, which in the lab's kernel is seconds.

A process that has imported the command line and the daemon forks for each command; the fork enters the network
namespace, takes on environment, folder and output, and runs the command. The demo, the soak and the tests of the
installed package start it the ordinary way.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

from tests.lab import port_speeds, transceivers
from tests.lab.netns import enter

REQUEST_BYTES = 1 << 20
# What the verbs import when they are called.
IMPORTED = (
    "dcedge.daemon.alone",
    "dcedge.cli.app",
    "dcedge.daemon.start",
    "dcedge.explain.gather",
    "dcedge.explain.report",
    "dcedge.cli.print_plan",
    "dcedge.cli.print_status",
    "dcedge.cli.measure",
    "dcedge.order.schema",
    "dcedge.reconcile.reconciler",
    "dcedge.daemon.service",
)


class Forked:
    """A `dcedge` that runs, with as much of subprocess.Popen as a test needs."""

    def __init__(self, answer: socket.socket, words: tuple[str, ...]) -> None:
        self._answer = answer
        self._words = words
        self.returncode: int | None = None
        self.pid = int(answer.recv(32))

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._answer.settimeout(timeout)
            try:
                self.returncode = int(self._answer.recv(32))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self._words, timeout or 0) from None
            self._answer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Prefork:
    """Runs `dcedge` in network namespaces; one at a time for each caller, several callers at once."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.prefork", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[2],
            )
        atexit.register(self.close)

    def run(
        self, namespace: Path, words: tuple[str, ...], environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `dcedge` with these words to its end.

        Raises:
            TimeoutExpired: It did not end in time; it is killed.
        """
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            process = self.start(namespace, words, environment, stdout, stderr)
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(words, timeout, _all(stdout), _all(stderr)) from None
            return subprocess.CompletedProcess(words, status, _all(stdout), _all(stderr))

    def start(
        self,
        namespace: Path,
        words: tuple[str, ...],
        environment: Mapping[str, str],
        stdout: IO[Any],
        stderr: IO[Any],
    ) -> Forked:
        """Start `dcedge` with these words, in a session of its own."""
        request = {
            "namespace": str(namespace),
            "words": words,
            "environment": dict(environment),
            "folder": str(Path.cwd()),
        }
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            handles = [theirs.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._ours, [json.dumps(request).encode()], handles)
        return Forked(ours, words)

    def close(self) -> None:
        """End the process; a second time does nothing."""
        self._ours.close()
        self._server.wait()


def _all(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def serve(requests: socket.socket) -> None:
    """Fork for every request until the other end is closed."""
    main = import_module("dcedge.cli.entry").main
    for module in IMPORTED:
        import_module(module)
    gc.freeze()  # what is shared with every fork is not copied to be looked through
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, handles, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer, stdout, stderr = handles
            _attend(json.loads(message), answer, stdout, stderr, main)
        for handle in handles:
            os.close(handle)


def _attend(request: dict[str, Any], answer: int, stdout: int, stderr: int, main: Callable[[], None]) -> NoReturn:
    """Have the command run in a child, and report its process and its exit status as a shell would."""
    child = os.fork()
    if child == 0:
        os.close(answer)
        _command(request, stdout, stderr, main)
    os.write(answer, str(child).encode())
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):  # who started it may wait for it no more
        os.write(answer, str(ended).encode())
    os._exit(0)


def _command(request: dict[str, Any], stdout: int, stderr: int, main: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        enter(Path(request["namespace"]))
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        transceivers.be_found()
        port_speeds.be_told()
        sys.argv = ["dcedge", *request["words"]]
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  what the interpreter would print at the end of a program
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
