"""The daemon's start. An order is in force before anything is opened."""

from __future__ import annotations

import asyncio

from dcedge import memory
from dcedge.alone import go_back_to_nothing
from dcedge.expose.http import parse_listen
from dcedge.in_force import OrderInForce
from dcedge.logs import set_up
from dcedge.service import Service
from dcedge.settings import Settings
from dcedge.store import Store

PATIENCE_SECONDS = 3.0  # for who rolls back while no daemon runs


def serve(settings: Settings) -> None:
    """Run the daemon in the foreground. Raises OrderInvalidError, ListenError, BusyError."""
    told = set_up()
    memory.prepare()
    if settings.listen is not None:
        parse_listen(settings.listen)
    store = Store(settings.state_dir)
    with store.writer(PATIENCE_SECONDS):
        go_back_to_nothing(settings, store)
        in_force = OrderInForce(settings, store)
        loaded = in_force.start()
        if store.pending() is None:
            store.save_last_good_order(loaded.text)
        service = Service(in_force, told)
        try:
            asyncio.run(service.serve())
        finally:
            service.close()
