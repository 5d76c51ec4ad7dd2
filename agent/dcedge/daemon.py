"""The daemon's start. An order is in force before anything is opened."""

from __future__ import annotations

from dcedge import memory
from dcedge.logs import set_up
from dcedge.settings import Settings


def serve(settings: Settings) -> None:
    """Run the daemon in the foreground. Raises OrderInvalidError, ListenError, BusyError."""
    told = set_up()
    memory.prepare()

    import asyncio

    from dcedge.alone import go_back_to_nothing
    from dcedge.expose.http import parse_listen
    from dcedge.in_force import OrderInForce
    from dcedge.service import Service
    from dcedge.store import Store

    if settings.listen is not None:
        parse_listen(settings.listen)
    store = Store(settings.state_dir)
    with store.writer():
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
