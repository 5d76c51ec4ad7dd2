"""What zebra knows of links and addresses, and waiting until it does.

zebra reads links and addresses from two sockets in two threads: an address that is made right behind its link may
overtake it there, and is then lost to zebra for good (measured on FRR 8.4: one in three at three links). So an address
is made only when zebra has its link, and looked for afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dcedge.bgp.vty import FrrClient
from dcedge.errors import FrrError, FrrUnavailableError

WAIT_SECONDS = 5.0
ANSWER_SECONDS = 1.0  # a pass waits here with addresses still to be made
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.002, 0.1


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
