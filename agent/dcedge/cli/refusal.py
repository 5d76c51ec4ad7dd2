"""What would be said of an order beside the one in force, for whoever asks before it is taken: `check` and `plan`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from dcedge.api.control.client import ControlClient
from dcedge.errors import DcedgeError
from dcedge.frr.daemons_file import DAEMONS_FILE
from dcedge.frr.started import Started, too_few_descriptors
from dcedge.frr.vty import FrrClient
from dcedge.order.findings import Finding, OrderInvalidError
from dcedge.order.load import Loaded, parse_order
from dcedge.order.removal import objection, removal
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.reconcile.frr_sync import others_seen
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings

_PATIENCE_SECONDS = 5.0


def refusals(settings: Settings, loaded: Loaded) -> list[Finding]:
    """Warnings where a good order would be refused: for what it takes away, and for what FRR as it runs cannot bear."""
    return [found for found in (refusal(settings, loaded), overload(settings, loaded)) if found is not None]


def overload(settings: Settings, loaded: Loaded) -> Finding | None:
    """A warning where a daemon of FRR's would abort for want of file descriptors, and `apply` refuses the order.

    Not where the order in force needs as many: FRR bears that already.
    """
    file = DAEMONS_FILE.parent / (settings.frr_pathspace or "") / DAEMONS_FILE.name
    before = _last_good(settings)
    with closing(FrrClient(settings.frr_pathspace)) as frr:
        others = others_seen(frr, settings.state_dir)
        started = Started(frr.processes(), file)
    in_force = _interfaces(before) if before is not None else []
    problems = list(too_few_descriptors(_interfaces(loaded), started, others, in_force))
    if not problems:
        return None
    return Finding(str(settings.order), 0, 0, "", f"would be refused by `apply`: {'; '.join(problems)}", "warning")


def _interfaces(loaded: Loaded) -> list[ResolvedInterface]:
    return [resolve_interface(loaded.order, name) for name in loaded.order.virtual_interfaces]


def refuse_overload(settings: Settings, loaded: Loaded) -> None:
    """Raise OrderInvalidError where a daemon of FRR's would abort for want of file descriptors."""
    if (found := overload(settings, loaded)) is not None:
        message = found.message.replace("would be refused by `apply`: ", "")
        raise OrderInvalidError([replace(found, message=message, severity="error")])


def refusal(settings: Settings, loaded: Loaded) -> Finding | None:
    """A warning where start, reload and apply would refuse a good order for what it takes away; None where not.

    Who may not read the state folder is told what the daemon's status shows: a mass removal, though no cut. None as
    well where neither is to be seen.
    """
    before = _last_good(settings)
    message = objection(before, loaded) if before is not None else removal(_shown(settings), loaded.order).objection
    if message is None:
        return None
    return Finding(str(settings.order), 0, 0, "", f"would be refused beside the order in force: {message}", "warning")


def _last_good(settings: Settings) -> Loaded | None:
    store = Store(settings.state_dir)
    try:
        text = store.orders.last_good()
        return parse_order(text, str(store.orders.last_good_file)) if text is not None else None
    except (DcedgeError, UnicodeError):
        return None


def _shown(settings: Settings) -> list[str]:
    """The virtual interfaces in force, as far as a daemon shows them."""
    try:
        interfaces = ControlClient(settings.socket, _PATIENCE_SECONDS).status()["virtual_interfaces"]
    except DcedgeError:
        return []
    return [vi["name"] for vi in interfaces if vi["admin"] != "down"]
