"""What would be said of an order beside the one in force, for whoever asks before it is taken: `check` and `plan`."""

from __future__ import annotations

from dcedge.errors import DcedgeError
from dcedge.expose.control import ControlClient
from dcedge.order.finding import Finding
from dcedge.order.load import Loaded, parse_order
from dcedge.order.removal import objection, removal
from dcedge.settings import Settings
from dcedge.store import Store

_PATIENCE_SECONDS = 5.0


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
        text = store.last_good()
        return parse_order(text, str(store.last_good_order)) if text is not None else None
    except (DcedgeError, UnicodeError):
        return None


def _shown(settings: Settings) -> list[str]:
    """The virtual interfaces in force, as far as a daemon shows them."""
    try:
        interfaces = ControlClient(settings.socket, _PATIENCE_SECONDS).status()["virtual_interfaces"]
    except DcedgeError:
        return []
    return [vi["name"] for vi in interfaces if vi["admin"] != "down"]
