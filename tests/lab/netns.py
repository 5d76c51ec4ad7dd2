"""Network namespaces and the fibres between them; whatever is made here is gone when the workspace is left.

Every name carries the workspace's token, so that two testbeds on one machine never meet, and what one
left behind can be found by its name.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import itertools
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from tests.lab.wait import until

P = ParamSpec("P")
T = TypeVar("T")

NAMESPACES = Path("/run/netns")  # iproute2's folder
HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()
CLONE_NEWNET = 0x40000000  # sched.h
SIOCGIFFLAGS, SIOCSIFFLAGS, UP_FLAG = 0x8913, 0x8914, 1  # sockios.h, if.h
ENDING_SECONDS = 30.0
_INDICES = itertools.count(1001)  # above all that the kernel chooses itself
AHEAD = ("nice", "-n", "-10")  # for hosts and clouds, which do not share the router's processor in earnest
MARK = "DCEDGE_TESTBED"  # in the environment of every process started here, to find it by


class CommandError(AssertionError):
    """A command of the testbed failed; the text holds what it said."""


class Namespace:
    """One network namespace, the processes started in it, and a thread that lives in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[bytes]] = []
        self._thread: ThreadPoolExecutor | None = None
        execute("ip", "netns", "add", name)
        self.call(_raise_link, "lo")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()

    @property
    def path(self) -> Path:
        """The file that stands for the namespace."""
        return NAMESPACES / self.name

    def delete(self) -> None:
        """End every process in the namespace and remove it; fine when it is gone."""
        for process in self._processes:
            end(process)
        self._processes.clear()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        if not self.path.exists():
            return
        for pid in execute("ip", "netns", "pids", self.name).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        execute("ip", "netns", "delete", self.name)

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` in here, with a /sys that shows this namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def run(
        self,
        *words: str,
        check: bool = True,
        text: str | None = None,
        timeout: float = 180,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in here to its end, `text` on its standard input."""
        return execute(*self.command(*words), check=check, text=text, timeout=timeout, environment=environment)

    def ip(self, *lines: str) -> None:
        """Have iproute2 carry out all the lines (`ip`'s words without `ip`) in one process."""
        execute("ip", "-n", self.name, "-batch", "-", text="\n".join(lines) + "\n")

    def popen(
        self, *words: str, log: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command in here; it ends at the latest with the namespace. What it prints goes to `log`."""
        with log.open("ab") if log else open(os.devnull, "wb") as output:  # noqa: PTH123  /dev/null is no path of ours
            process = subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**(os.environ if environment is None else environment), MARK: self.name},
            )
        self._processes.append(process)
        return process

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread whose network namespace is this one; its sockets stay in here."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self.name, initializer=enter, initargs=(self.path,))
        return self._thread.submit(function, *args, **kwargs).result()

    def sysctl(self, **values: int) -> None:
        """Set net.* sysctls; a key is the path below /proc/sys/net with `__` for each slash.

        A kernel without IPv6 has none of that; what is set for it is left out there.
        """

        def write() -> None:
            for key, value in values.items():
                if HAS_IPV6 or not key.startswith("ipv6__"):
                    Path("/proc/sys/net", *key.split("__")).write_text(str(value))

        self.call(write)


@dataclass(frozen=True)
class Port:
    """One end of a fibre."""

    namespace: Namespace
    name: str


@dataclass(frozen=True)
class Counters:
    """What a port has received since it was made."""

    bytes: int
    packets: int


@dataclass(frozen=True)
class Fibre:
    """An optical fibre between two ports: a veth pair that carries frames as a wire does.

    Super-packets and tags beside the frame are switched off, so what a capture shows is what a wire would
    carry, and an interface counter counts each frame with its header and its tags.
    """

    customer: Port
    cloud: Port

    def cut(self) -> None:
        """Take the light away: the customer's end loses its carrier."""
        self.cloud.namespace.ip(f"link set dev {self.cloud.name} down")

    def splice(self) -> None:
        """Undo a cut."""
        self.cloud.namespace.ip(f"link set dev {self.cloud.name} up")


def fibre(customer: Port, cloud: Port, mtu: int = 1500, *, cloud_index: int | None = None) -> Fibre:
    """Lay a fibre between two ports that do not exist yet; it goes with either namespace."""
    index = ("index", str(cloud_index)) if cloud_index is not None else ()
    execute(
        *("ip", "link", "add", "name", customer.name, "mtu", str(mtu), "netns", customer.namespace.name),
        *("type", "veth", "peer", "name", cloud.name, "mtu", str(mtu), "netns", cloud.namespace.name, *index),
    )
    for port in (customer, cloud):
        # IPv6 addresses on what hangs on the cloud's port outlive a cut.
        port.namespace.sysctl(ipv6__conf__all__keep_addr_on_down=1)
        port.namespace.run("ethtool", "-K", port.name, "tso", "off", "gso", "off", "txvlan", "off")
        port.namespace.call(_raise_link, port.name)
    return Fibre(customer, cloud)


@dataclass(frozen=True)
class Span(Fibre):
    """A fibre with a provider's site halfway, where frames can get lost while both ends keep their light."""

    middle: Namespace
    bridge: str

    def silence(self, *, to_cloud: bool = True, to_customer: bool = True) -> None:
        """Lose every frame halfway, in both directions unless told."""
        ways = [half for half, lost in ((0, to_cloud), (1, to_customer)) if lost]
        chains = "".join(
            f"chain half{half} {{ type filter hook ingress device {self.bridge}-{half} priority 0; policy drop; }}\n"
            for half in ways
        )
        self.middle.run("nft", "-f", "-", text=f"table netdev {self.bridge} {{\n{chains}}}\n")

    def speak(self) -> None:
        """Undo a silence."""
        self.middle.run("nft", "delete", "table", "netdev", self.bridge)

    def cut(self) -> None:
        """Take the light away from both ends."""
        self._halves("down")

    def splice(self) -> None:
        """Undo a cut."""
        self._halves("up")

    def darken_customer(self) -> None:
        """Take the light away from the customer's end alone; `splice` undoes that too."""
        self.middle.ip(f"link set dev {self.bridge}-0 down")

    def _halves(self, state: str) -> None:
        self.middle.ip(*(f"link set dev {self.bridge}-{half} {state}" for half in (0, 1)))


def span(customer: Port, cloud: Port, middle: Namespace) -> Span:
    """Lay a fibre through a provider's site; the ports do not exist yet."""
    halves = [Port(middle, f"{customer.name}-{half}") for half in (0, 1)]
    middle.ip(f"link add name {customer.name} type bridge forward_delay 0", f"link set dev {customer.name} up")
    for far_end, half in zip((customer, cloud), halves, strict=True):
        # Where both ends of a veth have one index, the kernel takes its time (up to a second) to tell of a lost carrier
        # (linkwatch_urgent_event() in net/core/link_watch.c).
        fibre(far_end, half, cloud_index=next(_INDICES))
        middle.ip(f"link set dev {half.name} master {customer.name}")
    return Span(customer, cloud, middle, customer.name)


def connect_host(router: Namespace, port: str, host: Namespace, networks: Sequence[IPv4Network | IPv6Network]) -> None:
    """Lay a link from a router's new `port` to a host's eth0.

    On each network the router has the first address, the host the tenth and its default route to the first; on IPv6's
    where the kernel has that.
    """
    networks = [network for network in networks if HAS_IPV6 or network.version == 4]
    router.ip(
        f"link add name {port} type veth peer name eth0 netns {host.name}",
        f"link set dev {port} up",
        *(f"address add {net[1]}/{net.prefixlen} dev {port}{nodad(net[1])}" for net in networks),
    )
    host.ip(
        "link set dev eth0 up",
        *(f"address add {net[10]}/{net.prefixlen} dev eth0{nodad(net[10])}" for net in networks),
        *(f"route add default via {net[1]}" for net in networks),
    )


def nodad(address: IPv4Address | IPv6Address) -> str:
    """What an `address add` needs besides, for the address to be usable at once."""
    return " nodad" if address.version == 6 else ""


def received(port: Port) -> Counters:
    """A port's receive counters. A veth counts what its peer sent: whole frames, header and tags, no FCS."""

    def read() -> Counters:
        for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == port.name:
                count, packets, *_ = numbers.split()
                return Counters(int(count), int(packets))
        raise LookupError(f"no interface {port.name} in {port.namespace.name}")

    return port.namespace.call(read)


class Workspace:
    """One run of a testbed: its token, its folder, its namespaces. Leaving it removes all of them."""

    def __init__(self) -> None:
        self.token = f"dcedge-{secrets.token_hex(3)}"
        self._stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.token}-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything, the last made first; a second time does nothing."""
        self._stack.close()
        atexit.unregister(self.close)

    def namespace(self, name: str) -> Namespace:
        """A new namespace, named TOKEN-`name`."""
        return self._stack.enter_context(Namespace(f"{self.token}-{name}"))

    def enter(self, resource: contextlib.AbstractContextManager[T]) -> T:
        """Have something of the caller's removed with the rest."""
        return self._stack.enter_context(resource)

    def at_end(self, function: Callable[[], object]) -> None:
        """Call `function` when the workspace is left."""
        self._stack.callback(function)

    def remains(self) -> list[str]:
        """What is left of it on the machine: namespaces, files, processes. Empty after `close`."""
        places = [
            NAMESPACES,
            *map(Path, ("/etc/frr", "/run/frr", "/run", "/var/lib", "/var/run/frr", "/tmp")),
        ]
        found = {str(path.resolve()) for place in places for path in place.glob(f"*{self.token}*")}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line, marks = ((process / part).read_bytes() for part in ("cmdline", "environ"))
                if self.token.encode() in line + marks and process.name != str(os.getpid()):
                    found.add(f"process {process.name}: {line.replace(bytes(1), b' ').decode().strip()}")
        return sorted(found)


def execute(
    *words: str,
    check: bool = True,
    text: str | None = None,
    timeout: float = 180,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; raises CommandError where it fails, unless `check` is off."""
    done = subprocess.run(
        words,
        input=text if text is not None else "",
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment,
    )
    if check and done.returncode:
        given = f"\n{text}" if text else ""
        raise CommandError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}{given}")
    return done


class Process(Protocol):
    """A process that leads a group of its own."""

    pid: int
    returncode: Any

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""


def end(process: Process, how: signal.Signals = signal.SIGTERM) -> int:
    """End a process and its children; returns its exit status."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return int(process.returncode)


def leave_on_signals() -> None:
    """Have SIGTERM and SIGHUP end this program as an exception does, so that everything is tidied up."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def wait_for_carrier(port: Port, *, up: bool) -> None:
    """Wait until a port has (or has not) light."""

    def carrier() -> str:
        return port.namespace.call(_operstate, port.name)

    until(f"{port.name} to be {'up' if up else 'down'}", carrier, accept=lambda seen: (seen == "up") is up)


def _operstate(name: str) -> str:
    # The thread sees the machine's /sys, not the namespace's: ask the kernel by name instead.
    text = subprocess.run(["ip", "-br", "link", "show", "dev", name], capture_output=True, text=True, check=True)
    return text.stdout.split()[1].lower()


def _raise_link(name: str) -> None:
    """Set an interface up (netdevice(7)); a process of `ip` costs the lab kernel fifty times as much."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | UP_FLAG))


def enter(path: Path) -> None:
    """Move this thread, which may be the whole program, into a network namespace. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)
