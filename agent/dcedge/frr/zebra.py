"""What zebra knows of links, addresses and VRFs, and waiting until it does.

zebra reads links and addresses from two sockets in two threads: an address that is made right behind its link may
overtake it there, and is then lost to zebra for good (measured on FRR 8.4: one in three at three links). So an address
is made only when zebra has its link, and looked for afterwards.

A route that is made right behind its VRF may overtake that likewise: zebra then takes it for one of the default VRF's,
and does not heed its removal. So the end of a VRF's table is made only when zebra has the VRF.

A VRF that goes while zebra still has routes in it, because it has not heard yet that these are gone, can end zebra with
a segmentation fault (measured on FRR 10.3): the answer to its own removal of them finds no table any more. Routes of
the VRF's own addresses are not removed by zebra, and do no harm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.vty import FrrClient

WAIT_SECONDS = 5.0
ANSWER_SECONDS = 1.0  # a pass waits here with addresses still to be made
_OF_ADDRESSES = ("connected", "local")
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.002, 0.1


def wait_for_links(frr: FrrClient, indices: Mapping[str, int]) -> bool:
    """Wait until zebra knows the links under these interface indices; False where it does not in time.

    Links reach zebra in the order in which the kernel made them, so the last one stands for all.
    """
    if not indices:
        return True
    name, index = list(indices.items())[-1]

    def known() -> bool:
        found = _json_if_known(frr, f"show interface {name} json").get(name)
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


def wait_for_no_routes(frr: FrrClient, vrfs: Iterable[str]) -> list[str]:
    """Wait until zebra has no routes in these VRFs but those of their addresses; the VRFs where it still has some."""
    left = list(vrfs)

    def empty() -> bool:
        left[:] = [vrf for vrf in left if any(_has_routes(frr, family, vrf) for family in ("ip", "ipv6"))]
        return not left

    _wait(empty)
    return left


def _has_routes(frr: FrrClient, family: str, vrf: str) -> bool:
    routes = _json_if_known(frr, f"show {family} route vrf {vrf} summary json").get("routes")
    return any(
        isinstance(route, dict) and route.get("rib") and route.get("type") not in _OF_ADDRESSES
        for route in (routes if isinstance(routes, list) else ())
    )


def _lists(entry: Any, address: str) -> bool:
    addresses = entry.get("addresses") if isinstance(entry, dict) else None
    return isinstance(addresses, list) and address in addresses


def _json(frr: FrrClient, command: str) -> dict[str, Any]:
    try:
        found = json.loads(frr.ask("zebra", command, timeout=ANSWER_SECONDS))
    except ValueError as error:
        raise FrrError(f"zebra's answer to `{command}` is not JSON") from error
    return found if isinstance(found, dict) else {}


def _json_if_known(frr: FrrClient, command: str) -> dict[str, Any]:
    """The answer; nothing where zebra refuses to give one, its way to say that it has no such interface or VRF."""
    try:
        return _json(frr, command)
    except FrrUnavailableError:
        raise
    except FrrError:
        return {}


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, _PAUSE_SECONDS_MAX)
    return True
