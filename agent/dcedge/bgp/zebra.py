"""What zebra knows of links and addresses, and waiting until it does.

zebra reads links and addresses from two sockets in two threads: an address that is made right behind its link may
overtake it there, and is then lost to zebra for good (measured on FRR 8.4: one in three at three links). So an address
is made only when zebra has its link, and looked for afterwards.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dcedge.bgp.vty import FrrClient
from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.order.resolve import ResolvedInterface

WAIT_SECONDS = 5.0
ANSWER_SECONDS = 1.0  # a pass waits here with addresses still to be made
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.002, 0.1

_REPLACES_IPV6 = "--v6-rr-semantics"  # zebra(8)
_RETAIN = re.compile(rb"-r|--ret[a-z]*")
_SWEEP_LATE = re.compile(rb"-K.*|--gr[a-z]*_.*")


def replacement_problem(
    interfaces: Iterable[ResolvedInterface], process: int | None, *, proc: Path = Path("/proc")
) -> str | None:
    """Why a change from one IPv6 path to another may cost a packet, in words; None where it cannot, or is not known.

    `process` is zebra's. Without the option it deletes an IPv6 route and then adds its successor (measured: now and
    then one packet of 1,000 a second is lost); an IPv4 route is replaced in one step.
    """
    paths = Counter(i.virtual_gateway for i in interfaces if any(s.family == "ipv6" for s in i.sessions))
    if process is None or max(paths.values(), default=0) < 2:
        return None
    words = _command_line(process, proc)
    if not words or _REPLACES_IPV6.encode() in words:
        return None
    return (
        "zebra deletes an IPv6 route before it adds its successor, so a drain may lose a packet:"
        f" add {_REPLACES_IPV6} to zebra_options in /etc/frr/daemons and restart FRR"
    )


def retention_problem(
    interfaces: Iterable[ResolvedInterface], process: int | None, *, proc: Path = Path("/proc")
) -> str | None:
    """Why a restart of FRR stops traffic though graceful restart is ordered, in words; None where it does not, or is
    not known.

    Without `-r` zebra takes bgpd's routes out of the kernel when it ends, without `-K` as soon as it is back.
    """
    graceful = sorted(i.name for i in interfaces if any(s.graceful_restart for s in i.sessions))
    words = _command_line(process, proc) if graceful and process is not None else []
    if not words or all(any(option.fullmatch(word) for word in words) for option in (_RETAIN, _SWEEP_LATE)):
        return None
    more = f" and {len(graceful) - 1} more" if len(graceful) > 1 else ""
    return (
        f"zebra does not keep its routes over a restart of FRR, as graceful restart of {graceful[0]}{more} needs:"
        " add -r -K 120 to zebra_options in /etc/frr/daemons and restart FRR"
    )


def _command_line(process: int, proc: Path) -> list[bytes]:
    try:
        return (proc / str(process) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def wait_for_links(frr: FrrClient, indices: Mapping[str, int]) -> bool:
    """Wait until zebra knows the links under these interface indices; False where it does not in time.

    Links reach zebra in the order in which the kernel made them, so the last one stands for all.
    """
    if not indices:
        return True
    name, index = list(indices.items())[-1]

    def known() -> bool:
        try:
            found = _json(frr, f"show interface {name} json").get(name)
        except FrrUnavailableError:
            raise
        except FrrError:
            return False  # zebra's way to say that it has no such interface
        return isinstance(found, dict) and found.get("index") == index

    return _wait(known)


def wait_for_addresses(frr: FrrClient, wanted: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Wait until zebra lists these (link, address/length); those that it still lacks after a while."""
    missing = list(wanted)

    def listed() -> bool:
        table = _json(frr, "show interface vrf all brief json")
        missing[:] = [(link, address) for link, address in missing if not _lists(table.get(link), address)]
        return not missing

    if missing:
        _wait(listed)
    return missing


def _lists(entry: Any, address: str) -> bool:
    addresses = entry.get("addresses") if isinstance(entry, dict) else None
    return isinstance(addresses, list) and address in addresses


def _json(frr: FrrClient, command: str) -> dict[str, Any]:
    try:
        found = json.loads(frr.ask("zebra", command, timeout=ANSWER_SECONDS))
    except ValueError as error:
        raise FrrError(f"zebra's answer to `{command}` is not JSON") from error
    return found if isinstance(found, dict) else {}


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, _PAUSE_SECONDS_MAX)
    return True
