"""Runs one command in a kernel that has what the lab needs: this machine's own, or User-Mode Linux."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from tests.lab.other_frr import VARIABLE as OTHER_FRR
from tests.lab.wire import WINDOW, Frames, Kind, frame, write_all

INSIDE = Path(__file__).resolve().with_name("inside.py")
ROOTS = INSIDE.parents[2] / "build/roots"
UML = "linux.uml"
# What a processor with more registers than User-Mode Linux knows needs besides.
REGISTERS_SOURCE = INSIDE.with_name("xstate.c")
REGISTERS = INSIDE.parents[2] / "build/lab/xstate.so"
MORE_REGISTERS = "amx_tile"
UML_MODULES = Path("/usr/lib/uml/modules")
BOOT_LIMIT_S = 90.0
GRACE_S = 5.0
LOG_KEPT_BYTES = 8192
EXIT_TIMEOUT, EXIT_NO_KERNEL, EXIT_LAB_BROKE = 124, 69, 70

NAMESPACES = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--uts",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
]
NEEDED = {
    "802.1Q": "ip link add link v0 name v0.1 type vlan id 1",
    "VRF": "ip link add r0 type vrf table 1",
    "HTB": "tc qdisc add dev v0 root handle 1: htb && tc class add dev v0 parent 1: classid 1:1 htb rate 1mbit",
    "fq_codel": "tc qdisc add dev v0 parent 1:1 fq_codel",
    "netem": "tc qdisc add dev v1 root netem delay 1ms",
}
"""What the lab needs of a kernel, each with the command that shows that it is there."""

USAGE = """\
Runs COMMAND as root in a kernel that has 802.1Q, VRF, HTB, fq_codel and netem: this machine's own where it
has them, else User-Mode Linux, on this machine's file system. What COMMAND changes there is thrown away;
files that it leaves in $LAB_OUT come back in DIR. Arguments, environment, current directory, standard
input, output and error (apart from each other), a terminal and the exit status pass through. Inside,
$LAB says which kernel it is (uml or native), and a nested call just runs its command.
"""
EPILOGUE = f"""\
environment:
  LAB_KERNEL   auto (default), native, uml, or here: this machine's kernel, whatever it lacks
  LAB_MEM      memory of the User-Mode Linux (default 2G; taken from the machine only as it is used)

exit status: COMMAND's; 128 + n where signal n ended it; {EXIT_TIMEOUT} after --timeout;
{EXIT_NO_KERNEL} where no kernel will do; {EXIT_LAB_BROKE} where the lab itself broke.
"""


class NoKernelError(Exception):
    """No kernel that would do can be had here; the text says why."""


def say(text: str) -> None:
    """One line to the person who called."""
    print(f"tests/lab/run: {text}", file=sys.stderr)


def missing_here() -> list[str]:
    """What this machine's own kernel lacks of NEEDED, tried in a namespace that goes away by itself."""
    script = ["ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up || exit 1"]
    script += [f"{{ {command}; }} >/dev/null 2>&1 || echo '{name}'" for name, command in NEEDED.items()]
    try:
        probe = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", "\n".join(script)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        return [f"the command {error.filename}"]
    if probe.returncode:
        return [(probe.stderr.strip().splitlines() or ["a network namespace"])[-1]]
    return probe.stdout.split()


def choose_kernel(*, systemd: bool = False, append: Sequence[str] = ()) -> str:
    """`native` (or `here`) or `uml`; raises NoKernelError with the reasons.

    systemd wants a machine to itself, and a command line of its own (`append`) a kernel.
    """
    if os.geteuid() != 0:
        raise NoKernelError("needs root: network namespaces and FRR's users are root's business")
    wish = os.environ.get("LAB_KERNEL", "auto")
    if wish not in {"auto", "native", "uml", "here"}:
        raise NoKernelError(f"LAB_KERNEL={wish} is none of auto, native, uml, here")
    another = bool(systemd or append)
    if wish == "here" and not another:
        return "native"
    reason = "systemd is to be process 1" if systemd else f"`{' '.join(append)}`" if append else "LAB_KERNEL=uml"
    if wish != "uml" and not another:
        missing = missing_here()
        if not missing:
            return "native"
        reason = f"this machine's kernel lacks {', '.join(missing)}"
        if wish == "native":
            raise NoKernelError(reason)
    if not shutil.which(UML):
        raise NoKernelError(f"{reason}, and User-Mode Linux is not installed (apt-get install user-mode-linux kmod)")
    if not shutil.which("modprobe"):
        raise NoKernelError(f"{reason}, and User-Mode Linux needs modprobe (apt-get install kmod)")
    if not UML_MODULES.is_dir():
        raise NoKernelError(f"{reason}, and the modules of User-Mode Linux are not in {UML_MODULES}")
    return "uml"


def uml_environment() -> list[str]:
    """What starts User-Mode Linux on this processor: nothing special, or what knows the processor's registers.

    Raises:
        NoKernelError: That cannot be built.
    """
    if not re.search(rf"^flags\b.*\b{MORE_REGISTERS}\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
        return []
    if not REGISTERS.exists() or REGISTERS.stat().st_mtime < REGISTERS_SOURCE.stat().st_mtime:
        REGISTERS.parent.mkdir(parents=True, exist_ok=True)
        made = REGISTERS.with_suffix(f".{os.getpid()}")
        try:
            words = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(made), str(REGISTERS_SOURCE)]
            subprocess.run(words, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise NoKernelError(
                f"this processor has more registers ({MORE_REGISTERS}) than User-Mode Linux knows, and gcc, which"
                " builds what helps it, is not installed (apt-get install gcc libc6-dev)"
            ) from None
        except subprocess.CalledProcessError as error:
            raise NoKernelError(f"gcc cannot build {REGISTERS_SOURCE}: {error.stderr.strip()}") from None
        made.rename(REGISTERS)
    return ["env", f"LD_PRELOAD={REGISTERS}"]


def frr_root(wish: str) -> Path:
    """The root of the Debian whose FRR and BIRD are to be used: a path, or a suite, made where it is missing.

    Raises:
        NoKernelError: There is none.
    """
    if "/" in wish:
        root = Path(wish).resolve()
    else:
        root = ROOTS / wish
        if not root.is_dir() and subprocess.run([INSIDE.with_name("make-root"), wish], check=False).returncode:
            raise NoKernelError(f"no root of Debian {wish} could be made")
    if not (root / "usr/lib/frr/bgpd").exists():
        raise NoKernelError(f"{root} has no FRR (usr/lib/frr/bgpd)")
    return root


def memory_bytes() -> int:
    """LAB_MEM; raises NoKernelError where it is no size or the machine has less to give."""
    text = os.environ.get("LAB_MEM", "2G")
    match = re.fullmatch(r"(\d+)([MG])", text)
    if not match:
        raise NoKernelError(f"LAB_MEM={text} is not a size such as 512M or 2G")
    size = int(match[1]) << {"M": 20, "G": 30}[match[2]]
    free = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    if free and int(free[1]) * 1024 < size:
        raise NoKernelError(
            f"the lab kernel is given {text}, of which this machine has {int(free[1]) >> 10}M (LAB_MEM)"
        )
    return size


def take_processor() -> tuple[int, socket.socket]:
    """One that the fewest other lab kernels were given, and what holds it until this process ends."""
    for others in itertools.count():
        for number in sorted(os.sched_getaffinity(0)):
            held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            with contextlib.suppress(OSError):
                held.bind(f"\0dcedge-lab-processor-{number}-{others}")
                return number, held
            held.close()
    raise AssertionError("there is always another name")


def with_timeout(seconds: float | None) -> list[str]:
    """The prefix that ends a command of this kernel after so many seconds, if any."""
    return [] if seconds is None else ["timeout", f"--kill-after={GRACE_S}", str(seconds)]


def run_here(command: list[str], timeout: float | None, out: Path | None) -> NoReturn:
    """Becomes COMMAND in new namespaces of this machine's kernel."""
    here = os.environ.get("LAB_KERNEL") == "here"
    environment = os.environ | {"LAB": "here" if here else "native"}
    if out:
        environment["LAB_OUT"] = str(out)
    # Some sysctls of the whole machine are only to be seen from its first network namespace.
    namespaces = [word for word in NAMESPACES if not (here and word == "--net")]
    isolated = ["setpriv", "--pdeathsig", "KILL", *namespaces, str(INSIDE), "--", *command]
    arguments = [*with_timeout(timeout), *isolated]
    os.execvpe(arguments[0], arguments, environment)


class Uml:
    """One User-Mode Linux and the line to it. Its memory, its sockets and its processes live in namespaces
    that end with this process, however it ends; where namespaces are not to be had, in a folder that close()
    removes.
    """

    def __init__(self, *, systemd: bool = False, append: Sequence[str] = ()) -> None:
        size = memory_bytes()
        self.environment = {"LAB_INIT": "systemd"} if systemd else {}
        self.line, theirs = socket.socketpair()
        self.log, log = os.pipe()
        self.folder: str | None = None
        place, prefix = "/run", self._namespaces()
        if not prefix:
            self.folder = place = tempfile.mkdtemp(prefix="dcedge-lab-")
            free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
            if free < size:
                Path(place).rmdir()
                raise NoKernelError(f"{place} has room for {free >> 20}M, the lab kernel needs {size >> 20}M (LAB_MEM)")
        options = [
            f"mem={size >> 20}M", f"uml_dir={place}/", "umid=lab", "rootfstype=hostfs", "rootflags=/", "ro",
            f"init={place}/init", "con=null", f"con0=null,fd:{log}", "ssl=null",
            f"ssl0=fd:{theirs.fileno()},fd:{theirs.fileno()}", "quiet",
            *(f"{name}={value}" for name, value in self.environment.items()),  # init's: the kernel knows no such words
            *append,
        ]  # fmt: skip
        prepare = f'ln -s "$0" {place}/init && TMPDIR={place} exec "$@"'
        if prefix:
            prepare = f"mount -t tmpfs -o mode=700,size=100% lab {place} && {prepare}"
        # A system call inside is two switches between processes, which cost ten times more between two processors.
        processor, self.processor = take_processor()
        prefix = ["taskset", "--cpu-list", str(processor), *prefix]
        self.process = subprocess.Popen(
            [*prefix, "sh", "-c", prepare, str(INSIDE), *uml_environment(), UML, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[log, theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        os.close(log)

    @staticmethod
    def _namespaces() -> list[str]:
        """What ends with us whatever happens to us, or nothing where that is not permitted."""
        isolate = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        allowed = subprocess.run([*isolate, "true"], capture_output=True, check=False).returncode == 0
        return ["setpriv", "--pdeathsig", "KILL", *isolate] if allowed else []

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """To the lab; nothing happens where it has gone already."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.line.sendall(frame(kind, payload))

    def _wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)

    def close(self) -> None:
        """Ends it, with everything that it had."""
        if self.folder:
            self.process.terminate()
            self._wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        # Its process 1 first, so that unshare collects it: not every machine's init collects orphans.
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        self._wait()
        self.process.kill()
        self.process.wait()
        self.line.close()
        self.processor.close()
        os.close(self.log)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def terminal_size(descriptor: int) -> str:
    """Rows and columns, as the lab takes them."""
    rows, columns, *_ = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))
    return f"{rows} {columns}"


class Session:
    """One command in a User-Mode Linux, from here: passes on input, output, signals and the terminal."""

    def __init__(self, uml: Uml, command: list[str], timeout: float | None, out: Path | None) -> None:
        self.uml = uml
        self.terminals = [os.isatty(number) for number in (0, 1, 2)]
        self.terminal = self.terminals.index(True) if any(self.terminals) else None
        self.job = {
            "argv": command,
            "cwd": str(Path.cwd()),
            "env": os.environ | {"LAB": "uml", "LAB_OUT": "/run/lab/out"} | uml.environment,
            "out": str(out) if out else "",
            "terminals": self.terminals,
            "size": "24 80" if self.terminal is None else terminal_size(self.terminal),
        }
        self.ready = False
        self.room = WINDOW
        self.input_ended = False
        self.log = bytearray()
        self.status: int | None = None
        self.ends_with: int | None = None
        self.booted_by = time.monotonic() + BOOT_LIMIT_S
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.wake, self._waker = os.pipe()
        for descriptor in (self.wake, self._waker):
            os.set_blocking(descriptor, False)

    def run(self) -> int:
        """The exit status; raises NoKernelError where it did not boot."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH)
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGWINCH:
                signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        frames = Frames()
        with self._raw_terminal():
            while self.status is None:
                watched: list[int] = [self.uml.line.fileno(), self.wake, self.uml.log]
                if self.ready and self.room > 0 and not self.input_ended:
                    watched.append(0)
                readable = select.select(watched, [], [], self._patience())[0]
                self._watch_clock()
                if self.wake in readable:
                    for arrived in os.read(self.wake, 64):
                        self._signalled(arrived)
                if self.uml.log in readable:
                    self._note_log()
                if 0 in readable:
                    self._pass_input()
                if self.uml.line.fileno() in readable:
                    data = self.uml.line.recv(1 << 16)
                    if not data:
                        return self._line_lost()
                    for kind, payload in frames.feed(data):
                        self._received(kind, payload)
        return self.status if self.ends_with is None else self.ends_with

    @contextlib.contextmanager
    def _raw_terminal(self) -> Iterator[None]:
        """Keys go inside as they are, Ctrl-C too; the terminal is as it was afterwards."""
        if not self.terminals[0]:
            yield
            return
        before = termios.tcgetattr(0)
        try:
            tty.setraw(0)
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)

    def _patience(self) -> float | None:
        """Seconds to wait for the next thing to happen."""
        deadlines = [self.deadline, None if self.ready else self.booted_by]
        nearest = min((at for at in deadlines if at is not None), default=None)
        return None if nearest is None else max(0.0, nearest - time.monotonic())

    def _watch_clock(self) -> None:
        """Acts on a deadline that has come."""
        now = time.monotonic()
        if self.deadline is not None and now >= self.deadline:
            if self.ends_with is None:
                self._end(EXIT_TIMEOUT)
            else:
                self.status = self.ends_with
        elif not self.ready and now >= self.booted_by:
            raise NoKernelError(f"User-Mode Linux did not boot in {BOOT_LIMIT_S:.0f} s:\n{self._log_text()}")

    def _end(self, status: int) -> None:
        """Asks the command to end, and sees to it after a while."""
        self.ends_with = status
        self.deadline = time.monotonic() + (GRACE_S if self.ready else 0)
        self.uml.send(Kind.SIGNAL, str(signal.SIGTERM.value).encode())

    def _signalled(self, number: int) -> None:
        if number == signal.SIGWINCH:
            if self.terminal is not None and self.ready:
                self.uml.send(Kind.SIZE, terminal_size(self.terminal).encode())
        elif number in {signal.SIGTERM, signal.SIGHUP} or not self.ready:
            self._end(128 + number)
        else:
            self.uml.send(Kind.SIGNAL, str(number).encode())

    def _pass_input(self) -> None:
        try:
            data = os.read(0, min(self.room, 4096))
        except OSError:
            data = b""
        self.input_ended = not data
        self.room -= len(data)
        self.uml.send(Kind.STDIN, data)

    def _received(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.READY:
            self.ready = True
            self.uml.send(Kind.JOB, json.dumps(self.job).encode("ascii"))
        elif kind is Kind.TAKEN:
            self.room += int(payload)
        elif kind is Kind.STATUS:
            self.status = int(payload)
        else:
            descriptor = 1 if kind is Kind.STDOUT else 2
            try:
                write_all(lambda data: os.write(descriptor, data), payload)
            except BrokenPipeError:
                self.status = self.ends_with = 128 + signal.SIGPIPE.value

    def _note_log(self) -> None:
        self.log += os.read(self.uml.log, 4096)
        del self.log[:-LOG_KEPT_BYTES]

    def _log_text(self) -> str:
        while select.select([self.uml.log], [], [], 0.1)[0]:
            before = len(self.log)
            self._note_log()
            if len(self.log) == before:
                break
        return self.log.decode(errors="replace").replace("\r", "").rstrip()

    def _line_lost(self) -> int:
        if self.ends_with is not None:
            return self.ends_with
        what = "broke down" if self.ready else "did not boot"
        if not self.ready:
            raise NoKernelError(f"User-Mode Linux {what}:\n{self._log_text()}")
        say(f"User-Mode Linux {what}:\n{self._log_text()}")
        return EXIT_LAB_BROKE


def run_in_uml(uml: Uml, command: list[str], timeout: float | None, out: Path | None) -> int:
    """Runs in it, and ends it."""
    try:
        return Session(uml, command, timeout, out).run()
    finally:
        uml.close()


def fill_standard_descriptors() -> None:
    """Puts /dev/null where standard input, output or error is closed, lest our files get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def main(arguments: list[str]) -> int:
    """The command line; the exit status."""
    fill_standard_descriptors()
    parser = argparse.ArgumentParser(
        prog="tests/lab/run",
        description=USAGE,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="end COMMAND after S seconds, boot included")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where files left in $LAB_OUT come back")
    parser.add_argument("--systemd", action="store_true", help="with systemd as process 1 (in User-Mode Linux)")
    parser.add_argument(
        "--frr", metavar="SUITE|PATH", help="another Debian's FRR and BIRD: trixie, forky, or where its root lies"
    )
    parser.add_argument(
        "--append", action="append", default=[], metavar="WORD",
        help="a word for the kernel's command line, such as ipv6.disable=1 (User-Mode Linux); may be repeated",
    )  # fmt: skip
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="with its arguments")
    options = parser.parse_args(arguments)
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("which command?")
    out: Path | None = options.out
    if out:
        out.mkdir(parents=True, exist_ok=True)
        out = out.resolve()
    try:
        if os.environ.get("LAB"):
            if options.frr or options.append:
                raise NoKernelError("this is the lab already: its FRR and its kernel were chosen when it was started")
            nested = [*with_timeout(options.timeout), *command]
            os.execvpe(nested[0], nested, os.environ | ({"LAB_OUT": str(out)} if out else {}))
        if options.frr:
            os.environ[OTHER_FRR] = str(frr_root(options.frr))
        if choose_kernel(systemd=options.systemd, append=options.append) == "native":
            run_here(command, options.timeout, out)
        return run_in_uml(Uml(systemd=options.systemd, append=options.append), command, options.timeout, out)
    except FileNotFoundError as error:
        say(f"{error.filename}: {error.strerror}")
        return 127
    except NoKernelError as error:
        say(str(error))
        return EXIT_NO_KERNEL
