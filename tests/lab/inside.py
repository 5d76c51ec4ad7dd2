#!/usr/bin/python3 -SB
"""The lab's process 1: prepares the root file system and runs one command in it.

In the lab kernel the kernel itself starts this file as its init, on this machine's root file system,
read-only; the command and its input come over a serial line, its output and exit status go back over it.
With LAB_INIT=systemd it becomes systemd, under which the rest of it is a service.
On this machine's own kernel it is process 1 of new namespaces and runs the command that it is given.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import grp
import json
import os
import pty
import pwd
import resource
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve()  # the kernel knows it by another name
REPOSITORY = HERE.parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.lab.other_frr import VARIABLE as OTHER_FRR  # noqa: E402  the path to it is known only now
from tests.lab.other_frr import take_from  # noqa: E402
from tests.lab.wire import Frames, Kind, frame, write_all  # noqa: E402

LINE = "/dev/ttyS0"
OUT = "/run/lab/out"
UML_MODULES = Path("/usr/lib/uml/modules")
SCRATCH = "/mnt"
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_MOVE, MS_REC, MS_SHARED = 2, 4, 8, 4096, 8192, 16384, 1 << 20
SYSTEMD = "/lib/systemd/systemd"
# What a boot of the lab does without: hardware, disks, clocks, and what takes long on a fresh overlay.
NOT_IN_THE_LAB = (
    "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udev-settle.service",
    "systemd-hwdb-update.service", "systemd-remount-fs.service", "systemd-random-seed.service",
    "systemd-timesyncd.service", "systemd-update-utmp.service", "systemd-modules-load.service",
    "systemd-pcrphase-sysinit.service", "modprobe@.service", "systemd-journal-flush.service",
    "tmp.mount",  # would hide this checkout where it lies in /tmp
)  # fmt: skip
HIDDEN_SYSTEM = MS_NOSUID | MS_NODEV | MS_NOEXEC

libc = ctypes.CDLL(None, use_errno=True)


def mount(what: str, where: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); raises OSError that names the place."""
    arguments = [os.fsencode(text) or None for text in (what, where, kind)]
    if libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(options) or None):
        error = ctypes.get_errno()
        raise OSError(error, f"cannot mount {kind or what}: {os.strerror(error)}", where)


def directories(paths: Iterable[str], owner: str = "root") -> None:
    """Makes the directories, with a parent where needed, for a user that may not exist here."""
    with contextlib.suppress(KeyError):
        uid, gid = pwd.getpwnam(owner).pw_uid, grp.getgrnam(owner).gr_gid
        for path in paths:
            Path(path).mkdir(mode=0o755, parents=True, exist_ok=True)
            os.chown(path, uid, gid)


def mount_run() -> None:
    """An empty /run with the places that Debian's boot would have made for the routing daemons."""
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    directories([OUT, "/run/lock", "/run/netns"])
    directories(["/run/frr"], owner="frr")
    directories(["/run/bird"], owner="bird")


def enter_throw_away_root() -> None:
    """Covers the read-only root with an overlay in memory and makes that this process's root."""
    release = os.uname().release
    mount("proc", "/proc", "proc")
    mount("tmpfs", SCRATCH, "tmpfs", options="mode=755,size=80%")
    modules, upper, work, root = (f"{SCRATCH}/{name}" for name in ("modules", "upper", "work", "root"))
    for path in (f"{modules}/lib/modules", upper, work, root):
        Path(path).mkdir(parents=True)
    Path(upper).chmod(0o755)
    Path(f"{modules}/lib/modules/{release}").symlink_to(UML_MODULES / release)
    subprocess.run(["modprobe", "-d", modules, "overlay"], check=True)
    mount("overlay", root, "overlay", options=f"lowerdir=/,upperdir={upper},workdir={work}")
    os.chdir(root)
    mount(".", "/", flags=MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def mount_system() -> None:
    """/proc, /sys, /dev and /run as a booted Debian has them, and the lab kernel's modules."""
    mount("proc", "/proc", "proc", HIDDEN_SYSTEM)
    mount("sysfs", "/sys", "sysfs", HIDDEN_SYSTEM)
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", HIDDEN_SYSTEM)
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755")
    directories(["/dev/pts", "/dev/shm", "/dev/net"])
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666")
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name, target in {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        if not os.path.lexists(f"/dev/{name}"):
            Path(f"/dev/{name}").symlink_to(f"/proc/self/{target}")
    if not Path("/dev/net/tun").exists():
        os.mknod("/dev/net/tun", 0o20666, os.makedev(10, 200))
    mount_run()
    release = os.uname().release
    installed = Path("/usr/lib/modules" if Path("/lib").is_symlink() else "/lib/modules")
    installed.mkdir(exist_ok=True)
    (installed / release).symlink_to(UML_MODULES / release)


def set_up_host() -> None:
    """The name `lab`, a loopback that is up, IPv6, quiet kernel messages, room for many open files."""
    socket.sethostname("lab")
    with Path("/etc/hosts").open("a") as hosts:
        hosts.write("127.0.1.1 lab\n")
    Path("/proc/sys/kernel/printk").write_text("1 4 1 7\n")
    # This kernel would run a /sbin/hotplug for every link that comes or goes; udev, where there is one, ends that.
    Path("/sys/kernel/uevent_helper").write_text("\n")
    for module, sign in (("ipv6", "/sys/module/ipv6"), ("tun", "/sys/class/misc/tun")):
        if not Path(sign).exists():  # Linux 7 has IPv6 built in
            subprocess.run(["modprobe", module], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 524288))


class Job:
    """The command: its ends of the pipes or of the terminal, and its life until it ends."""

    def __init__(self, line: int, job: dict[str, object]) -> None:
        self.line = line
        self.selector = selectors.DefaultSelector()
        self.outputs: dict[int, Kind] = {}
        self.input: int | None = None
        self.input_pending = bytearray()
        self.input_ended = False
        self.master: int | None = None
        self.status: int | None = None
        self.pid = self._start(job)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Blocks until the line has taken the frame: that is what slows down a command that floods."""
        write_all(lambda data: os.write(self.line, data), frame(kind, payload))

    def _start(self, job: dict[str, object]) -> int:
        """Starts the command; 0 if that failed, with the reason said and the status set."""
        terminals, size = job["terminals"], job["size"]
        assert isinstance(terminals, list)
        slave = None
        if any(terminals):
            self.master, slave = pty.openpty()
            self.resize(str(size).encode())
            self._watch_output(self.master, Kind.STDOUT if terminals[1] else Kind.STDERR)
        theirs: list[int] = []
        for number, kind in enumerate((None, Kind.STDOUT, Kind.STDERR)):
            if terminals[number] and slave is not None:
                theirs.append(slave)
                if kind is None:
                    self.input = self.master
            elif kind is None:
                reader, self.input = os.pipe()
                theirs.append(reader)
            else:
                reader, writer = os.pipe()
                theirs.append(writer)
                self._watch_output(reader, kind)
        assert self.input is not None
        os.set_blocking(self.input, False)
        argv, cwd, env = (job[key] for key in ("argv", "cwd", "env"))
        assert isinstance(argv, list)
        assert isinstance(env, dict)

        def own_terminal() -> None:
            assert slave is not None
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        try:
            os.chdir(str(cwd))
            process = subprocess.Popen(
                argv,
                env=env,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                start_new_session=True,
                preexec_fn=None if slave is None else own_terminal,  # noqa: PLW1509  no threads here
            )
        except OSError as error:
            self.send(Kind.STDERR, f"lab: {error.filename}: {error.strerror}\n".encode())
            self.status = 127 if isinstance(error, FileNotFoundError) else 126
            return 0
        finally:
            for descriptor in set(theirs):
                os.close(descriptor)
        return process.pid

    def _watch_output(self, descriptor: int, kind: Kind) -> None:
        self.outputs[descriptor] = kind
        self.selector.register(descriptor, selectors.EVENT_READ)

    def resize(self, size: bytes) -> None:
        """Gives the terminal its rows and columns; the kernel tells the command."""
        if self.master is not None:
            rows, columns = (int(number) for number in size.split())
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Signals the command and the processes in its group."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def feed(self, data: bytes) -> None:
        """Standard input; nothing means its end."""
        self.input_pending += data
        self.input_ended |= not data
        self.push_input()

    def push_input(self) -> None:
        """Writes what the command takes without waiting; what is left waits for it to take more."""
        if self.input is None:
            return
        taken = 0
        try:
            while self.input_pending:
                count = os.write(self.input, self.input_pending[:4096])
                del self.input_pending[:count]
                taken += count
        except BlockingIOError:
            pass
        except OSError:
            # It has closed its input: what still comes is dropped, as a broken pipe would.
            taken += len(self.input_pending)
            self.input_pending.clear()
        if taken:
            self.send(Kind.TAKEN, str(taken).encode())
        self._watch_input()

    def _watch_input(self) -> None:
        assert self.input is not None
        if self.input == self.master:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.input_pending else 0)
            if self.master in self.outputs:
                self.selector.modify(self.master, wanted)
            return
        watched = self.input in self.selector.get_map()
        if self.input_pending and not watched:
            self.selector.register(self.input, selectors.EVENT_WRITE)
        elif not self.input_pending and watched:
            self.selector.unregister(self.input)
        if self.input_ended and not self.input_pending:
            os.close(self.input)
            self.input = None

    def relay(self, descriptor: int) -> bool:
        """Passes on what there is to read; False at the end of it."""
        try:
            data = os.read(descriptor, 16384)
        except OSError:  # a terminal whose other side is closed
            data = b""
        if data:
            self.send(self.outputs[descriptor], data)
            return True
        self.selector.unregister(descriptor)
        del self.outputs[descriptor]
        return False

    def drain(self) -> None:
        """Passes on what the command had written when it ended, not what its orphans may yet write."""
        for descriptor in list(self.outputs):
            while select.select([descriptor], [], [], 0.02)[0] and self.relay(descriptor):
                pass

    def reap(self) -> None:
        """Collects the children that have ended, orphans too, as process 1 must."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code


def handle(job: Job, kind: Kind, payload: bytes) -> None:
    """Does what a frame from the runner says."""
    if kind is Kind.STDIN:
        job.feed(payload)
    elif kind is Kind.SIGNAL:
        job.signal(int(payload))
    elif kind is Kind.SIZE:
        job.resize(payload)


def wake_on_child() -> int:
    """A descriptor that becomes readable when a child ends."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def serve(line: int) -> None:
    """Runs the one job that comes over the line."""
    os.write(line, frame(Kind.READY))
    frames = Frames()
    arrived: list[tuple[Kind, bytes]] = []
    while not arrived:
        arrived += frames.feed(os.read(line, 16384))
    description = json.loads(arrived.pop(0)[1].decode("ascii"))
    if description["out"]:
        mount("none", OUT, "hostfs", options=description["out"])
    if root := description["env"].get(OTHER_FRR):
        take_from(Path(root))
    child = wake_on_child()
    job = Job(line, description)
    for kind, payload in arrived:
        handle(job, kind, payload)
    job.selector.register(line, selectors.EVENT_READ)
    job.selector.register(child, selectors.EVENT_READ)
    job.reap()
    while job.status is None:
        for key, events in job.selector.select():
            descriptor = key.fd
            if descriptor == line:
                for kind, payload in frames.feed(os.read(line, 16384)):
                    handle(job, kind, payload)
            elif descriptor == child:
                os.read(child, 4096)
                job.reap()
            else:
                if events & selectors.EVENT_WRITE:
                    job.push_input()
                if events & selectors.EVENT_READ and descriptor in job.outputs:
                    job.relay(descriptor)
    job.drain()
    os.sync()
    job.send(Kind.STATUS, str(job.status).encode())
    termios.tcdrain(line)


def lab_kernel() -> NoReturn:
    """Process 1 of the lab kernel."""
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    enter_throw_away_root()
    mount_system()
    set_up_host()
    if os.environ.get("LAB_INIT") == "systemd":
        become_systemd()
    do_the_job()


def become_systemd() -> NoReturn:
    """Hand the machine to systemd, which starts this file again, as a service, once it has booted."""
    units = Path("/run/systemd/system")
    units.mkdir(parents=True)
    for name in NOT_IN_THE_LAB:
        (units / name).symlink_to("/dev/null")
    (units / "lab.target").write_text("[Unit]\nRequires=basic.target lab.service\nAfter=basic.target\n")
    (units / "lab.service").write_text(
        f"[Unit]\nAfter=basic.target\n[Service]\nExecStart={HERE} --job\nLimitNOFILE=1024:524288\nTasksMax=infinity\n"
    )
    Path("/etc/fstab").write_text("")  # this machine's own disks
    tmpfiles = Path("/etc/tmpfiles.d/tmp.conf")  # where this stands instead /tmp is not emptied: we may live there
    tmpfiles.parent.mkdir(exist_ok=True)
    tmpfiles.unlink(missing_ok=True)
    tmpfiles.symlink_to("/dev/null")
    mount(
        "none", "/", flags=MS_REC | MS_SHARED
    )  # where it takes this machine for a container it would not do that itself
    os.execv(SYSTEMD, [SYSTEMD, "--unit=lab.target", "--log-level=warning"])


def do_the_job() -> NoReturn:
    """Take a job from the line and do it; the machine is switched off afterwards."""
    line = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    try:
        serve(line)
    finally:
        Path("/proc/sysrq-trigger").write_text("o")
        signal.pause()
    raise AssertionError("the machine is off")


def take_interrupts() -> None:
    """Ctrl-C is for the command, not for process 1."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def own_kernel(command: list[str]) -> int:
    """Process 1 of new namespaces of this machine's kernel: the command's exit status."""
    mount("tmpfs", SCRATCH, "tmpfs", options="mode=755")
    for place in ("/etc", "/var"):
        upper, work = f"{SCRATCH}{place}/upper", f"{SCRATCH}{place}/work"
        Path(upper).mkdir(parents=True)
        Path(work).mkdir()
        mount("overlay", place, "overlay", options=f"lowerdir={place},upperdir={upper},workdir={work}")
    out = os.environ.get("LAB_OUT")
    kept = os.open(out, os.O_PATH) if out else -1
    if os.environ.get("LAB") != "here":  # whose network namespace is this machine's own, and so is its /sys
        mount("sysfs", "/sys", "sysfs", HIDDEN_SYSTEM)
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", HIDDEN_SYSTEM)
    mount_run()
    if out:
        mount(f"/proc/self/fd/{kept}", OUT, flags=MS_BIND)
        os.close(kept)
    os.environ["LAB_OUT"] = OUT
    socket.sethostname("lab")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if root := os.environ.get(OTHER_FRR):
        take_from(Path(root))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, preexec_fn=take_interrupts)  # noqa: PLW1509  no threads here
    except OSError as error:
        print(f"lab: {error.filename}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    while True:
        pid, status = os.wait()
        if pid == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if sys.argv[1:2] == ["--"]:
        sys.exit(own_kernel(sys.argv[2:]))
    if sys.argv[1:2] == ["--job"]:
        do_the_job()
    lab_kernel()
