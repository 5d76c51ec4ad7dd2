"""The daemon's start."""

from __future__ import annotations

from dcedge import memory
from dcedge.logs import set_up
from dcedge.settings import Settings


def serve(settings: Settings) -> None:
    """Run the daemon in the foreground. Raises OrderInvalidError, BusyError, StateError."""
    told = set_up()
    memory.prepare()

    from dcedge.in_force import OrderInForce
    from dcedge.store import Store

    store = Store(settings.state_dir)
    with store.writer():
        in_force = OrderInForce(settings, store)
        in_force.start()

        import asyncio

        from dcedge.service import Service

        service = Service(in_force, told)
        try:
            asyncio.run(service.serve())
        finally:
            service.close()
