"""The daemon's start. An order is in force before anything is opened."""

from __future__ import annotations

import asyncio

from dcedge.api.http.endpoint import parse_listen
from dcedge.daemon.alone import go_back_to_nothing
from dcedge.daemon.service import Service
from dcedge.logging.handlers import set_up
from dcedge.reconcile import memory
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.state.store import Store
from dcedge.settings import LogLevel, Settings

PATIENCE_SECONDS = 3.0  # for who rolls back while no daemon runs


def serve(settings: Settings, log_level: LogLevel = LogLevel.INFO) -> None:
    """Run the daemon in the foreground. Raises OrderInvalidError, ListenError, BusyError."""
    log_handler = set_up(log_level)
    memory.prepare()
    if settings.listen is not None:
        parse_listen(settings.listen)
    store = Store(settings.state_dir)
    with store.writer(PATIENCE_SECONDS):
        go_back_to_nothing(settings, store)
        in_force = OrderInForce(settings, store)
        loaded = in_force.start()
        if store.pending_order.get() is None:
            store.orders.save_last_good(loaded.text)
        service = Service(in_force, log_handler)
        try:
            asyncio.run(service.serve())
        finally:
            service.close()
