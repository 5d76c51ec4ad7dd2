"""What a plan brings about beyond this router, in words."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.link.resource import Link
from dcedge.plan.diff import Plan
from dcedge.reconcile.desired import Intent
from dcedge.units import format_seconds

_NAMED = 4


def mtu_notes(plan: Plan, intent: Intent) -> Iterator[str]:
    """Where raising an MTU interrupts more than the virtual interface whose MTU it is."""
    raised: dict[tuple[str, str, float], list[str]] = {}  # by connection, provider and seconds
    for operation in plan.operations:
        before, after = operation.before, operation.after
        if not (isinstance(before, Link) and isinstance(after, Link) and after.mtu > before.mtu):
            continue
        for interface in (intent.interfaces[name] for name in operation.affects if name in intent.interfaces):
            seconds = interface.profile.mtu_raise_interrupts
            if seconds is not None:
                shared = (interface.port_connection.connection, interface.profile.title, seconds)
                raised.setdefault(shared, []).append(interface.name)
    for (connection, provider, seconds), names in sorted(raised.items()):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield (
            f"{', '.join(sorted(names)[:_NAMED])}{more}: raising the MTU at {provider} too may interrupt every virtual"
            f" interface of connection {connection} for up to {format_seconds(seconds)}"
        )
