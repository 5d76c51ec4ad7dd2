"""`dcedge bundle`: what whoever helps will ask for, in one tarball, with every secret removed.

Secrets go twice: by what they are, as far as root can read them here, and by the words before them (`password …`).
Of an order only that is shown which belongs into one. What cannot be had is noted in its place; nothing is changed.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dcedge import __version__
from dcedge.api.control.client import ControlClient
from dcedge.errors import DcedgeError
from dcedge.frr.config import held_secrets, mask
from dcedge.logging.masking import MASK, Held, hold
from dcedge.order.credentials import read_credentials
from dcedge.order.load import load_order, parse_order
from dcedge.order.redact import redact
from dcedge.reconcile.desired import credentials_of
from dcedge.reconcile.state.plain_files import read_plain_file
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings

PATIENCE_SECONDS = 15.0  # for one command
PART_BYTES_MAX = 32 << 20
FRR_FOLDER = Path("/etc/frr")
_RUNNING_CONFIG = "frr/running-config"
_KEYED = re.compile(
    r"""((?:password|secret|passphrase|community|key|key-string)["']?[ \t]*[:=][ \t]*)"""
    r"""(?:(")(?:[^"\\]|\\.)*"|(')(?:[^']|'')*'|[^\s"',{}]+)""",
    re.IGNORECASE,
)
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "kernel/links.json": ("ip", "-d", "-s", "-j", "link"),
    "kernel/addresses.json": ("ip", "-j", "address"),
    "kernel/routes": ("ip", "route", "show", "table", "all"),
    "kernel/routes6": ("ip", "-6", "route", "show", "table", "all"),
    "kernel/rules": ("ip", "rule"),
    "kernel/neighbours": ("ip", "-s", "neighbour"),
    "kernel/qdiscs": ("tc", "-s", "-d", "qdisc"),
    "kernel/nftables": ("nft", "list", "ruleset"),
    "kernel/sysctls": ("sysctl", "-a", "-r", r"^net\.(ipv4|ipv6)\.(ip_forward|conf\.all|neigh\.default)|^net\.core"),
    "kernel/sockets": ("ss", "-tunap"),
    "system/units": ("systemctl", "status", "--no-pager", "-l", "dcedge.service", "frr.service"),
    "system/journal": (
        *("journalctl", "--no-pager", "-o", "short-iso-precise", "-n", "20000", "--since", "-2d"),
        *(
            "-u",
            "dcedge.service",
            "-u",
            "dcedge-rollback.service",
            "-u",
            "frr.service",
            "-u",
            "systemd-networkd.service",
        ),
    ),
    "system/packages": ("dpkg-query", "-W", "dcedge", "frr", "nftables", "iproute2", "systemd", "linux-image*"),
}
FRR_COMMANDS: Mapping[str, str] = {
    _RUNNING_CONFIG: "show running-config",
    "frr/version": "show version",
    "frr/summary": "show bgp vrf all summary",
    "frr/neighbours": "show bgp vrf all neighbors",
    "frr/bfd": "show bfd peers",
    "frr/routes": "show ip route vrf all",
    "frr/interfaces": "show interface brief",
}


def write_bundle(settings: Settings, output: Path) -> Path:
    """Gather all and write the tarball, mode 0600, into a folder or as a file; returns its path. Raises DcedgeError."""
    now = time.time()
    name = f"dcedge-{platform.node()}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    path = output / f"{name}.tar.gz" if output.is_dir() else output
    known = [*known_secrets(settings)]
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DcedgeError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for member, gather in _parts(settings).items():
            gathered = _gathered(gather)[:PART_BYTES_MAX]
            if member == _RUNNING_CONFIG:
                known += held_secrets(gathered)
            text = redacted(gathered).encode("utf-8", "backslashreplace")[:PART_BYTES_MAX]
            entry = tarfile.TarInfo(f"{name}/{member}")
            entry.size, entry.mtime, entry.mode = len(text), int(now), 0o600
            tar.addfile(entry, io.BytesIO(text))
    return path


def known_secrets(settings: Settings) -> Iterator[Held]:
    """Every secret that can be read here: the order's, the folder's, those kept for a rollback and those FRR saved."""
    with suppress(OSError):
        yield from held_secrets(
            (FRR_FOLDER / (settings.frr_pathspace or "") / "frr.conf").read_text(encoding="utf-8", errors="replace")
        )
    with suppress(OSError):
        files = [path for path in settings.credentials.iterdir() if path.is_file()]
        yield from (hold(path.read_text(encoding="utf-8", errors="replace").strip()) for path in files)
    orders = []
    with suppress(DcedgeError):
        orders.append(load_order(settings.order).order)
    store = Store(settings.state_dir)
    with suppress(DcedgeError):
        pending = store.pending_order.get()
        yield from map(hold, pending.secrets.values() if pending is not None else ())
        last_good = store.orders.last_good()
        orders += [parse_order(last_good, "the last good order").order] if last_good is not None else []
    for order in orders:
        secrets, _ = read_credentials(credentials_of(order), settings.credentials)
        yield from (hold(secret.reveal()) for secret in secrets.values())


def redacted(text: str) -> str:
    """The text without secrets: the known ones wherever they are, others by the words before them."""

    def masked(found: re.Match[str]) -> str:
        quote = found[2] or found[3] or ""
        return f"{found[1]}{quote}{MASK}{quote}"

    return _KEYED.sub(masked, mask(text))


def _parts(settings: Settings) -> dict[str, Callable[[], str]]:
    """What to gather, by name; FRR's configuration comes first, since it tells more secrets to hide in the others."""
    vtysh = ("vtysh", *(("-N", settings.frr_pathspace) if settings.frr_pathspace else ()))
    return {
        **{
            member: lambda command=command: _said((*vtysh, "-c", command))  # type: ignore[misc]
            for member, command in FRR_COMMANDS.items()
        },
        "about": _about,
        "order.yaml": lambda: redact(settings.order.read_text(encoding="utf-8", errors="replace")),
        "plan.json": lambda: _plan(settings),
        "host": lambda: _host(settings),
        "status.json": lambda: json.dumps(ControlClient(settings.socket, PATIENCE_SECONDS).status(), indent=1),
        **{f"state/{name}": lambda name=name: _kept(settings.state_dir, name) for name in Store.KEPT},  # type: ignore[misc]
        **{member: lambda words=words: _said(words) for member, words in COMMANDS.items()},  # type: ignore[misc]
    }


def _kept(folder: Path, name: str) -> str:
    text = read_plain_file(folder, name, PART_BYTES_MAX).decode(errors="replace")
    return redact(text) if name.endswith(".yaml") else text


def _gathered(gather: Callable[[], str]) -> str:
    try:
        return gather()
    except (OSError, DcedgeError, ValueError, subprocess.SubprocessError) as error:
        return f"(not available: {error})\n"


def _about() -> str:
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "?")
    return (
        f"dcedge {__version__}, Python {platform.python_version()}, {system}, {platform.platform()}\n"
        f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}, up {time.clock_gettime(time.CLOCK_BOOTTIME):.0f} s\n"
        f"{os.cpu_count()} processors\n{Path('/proc/meminfo').read_text(encoding='utf-8')}"
    )


def _plan(settings: Settings) -> str:
    from dcedge.api.plan import plan_json, preview_notes
    from dcedge.frr.vty import FrrClient
    from dcedge.reconcile.reconciler import Reconciler

    store = Store(settings.state_dir)
    reconciler = Reconciler(settings, store, FrrClient(settings.frr_pathspace))
    try:
        preview = reconciler.preview(reconciler.intent(load_order(settings.order).order, store.runtime()))
        return json.dumps(plan_json(preview.plan, preview_notes(preview)), indent=1)
    finally:
        reconciler.close()


def _host(settings: Settings) -> str:
    from dcedge.monitor.preflight.results import results_text
    from dcedge.monitor.preflight.run import run_checks

    order = load_order(settings.order).order if settings.order.exists() else None
    return results_text(run_checks(settings, order))


def _said(words: tuple[str, ...]) -> str:
    done = subprocess.run(
        words,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=PATIENCE_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    failed = f"(status {done.returncode})\n" if done.returncode else ""
    return f"{failed}{done.stdout}{done.stderr}"
