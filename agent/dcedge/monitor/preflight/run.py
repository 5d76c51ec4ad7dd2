"""Looks at everything in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from dcedge.frr.daemons_file import DAEMONS_FILE
from dcedge.frr.descriptors import NO_OTHERS
from dcedge.frr.started import needed_daemons
from dcedge.frr.vty import FrrClient
from dcedge.kernel.link.view import dump_links
from dcedge.kernel.port.hardware import ports_of
from dcedge.kernel.port.names import port_names
from dcedge.monitor.preflight import firewalls, frr, kernel, machine, managers, ports
from dcedge.monitor.preflight.check import CheckResult, HostFiles, PreflightInput
from dcedge.netlink.socket import RouteSocket
from dcedge.order.model import Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.frr_sync import others_seen
from dcedge.settings import Settings

Check = Callable[[PreflightInput], Iterator[CheckResult]]
CHECKS: tuple[Check, ...] = (
    kernel.modules,
    kernel.combined_settings,
    kernel.connection_table,
    frr.daemons,
    frr.version,
    frr.options,
    frr.configuration,
    ports.present,
    ports.offloads,
    ports.checksums,
    ports.flow_control,
    ports.interrupts,
    managers.networkd,
    managers.network_manager,
    managers.netplan,
    firewalls.firewalls,
    machine.time_is_synchronised,
    machine.clock_source,
    machine.disk,
)


# Every pass of the daemon checks at the others, and at thousands of virtual interfaces FRR's configuration is long.
_AT_START = tuple(one for one in CHECKS if one not in {frr.options, frr.configuration})


def run_checks(settings: Settings, order: Order | None, root: Path = Path("/")) -> list[CheckResult]:
    """Every line. Raises KernelError where the kernel cannot be asked."""
    with closing(RouteSocket()) as sock:
        indices = {link.name: link.index for link in dump_links(sock)}
        own = port_names(sock, ports_of(order), indices) if order is not None else {}
    interfaces = [resolve_interface(order, name, own) for name in order.virtual_interfaces] if order is not None else []
    return _results(settings, order, interfaces, own, indices, CHECKS, root)


def run_start_checks(settings: Settings, intent: Intent, indices: Mapping[str, int]) -> list[CheckResult]:
    """The lines of which the daemon's passes do not tell; `indices` are those of links, by name."""
    return _results(settings, intent.order, intent.interfaces.values(), intent.ports, indices, _AT_START)


def _results(
    settings: Settings,
    order: Order | None,
    interfaces: Iterable[ResolvedInterface],
    own: Mapping[str, str],
    indices: Mapping[str, int],
    checks: Sequence[Check],
    root: Path = Path("/"),
) -> list[CheckResult]:
    interfaces = tuple(interfaces)
    with closing(FrrClient(settings.frr_pathspace)) as client:
        if order is not None:
            client.needed = needed_daemons(interfaces)
        router = PreflightInput(
            host=HostFiles(root),
            frr=client,
            frr_folder=DAEMONS_FILE.parent / (settings.frr_pathspace or ""),
            state_dir=settings.state_dir,
            interfaces=interfaces,
            ports=tuple(own.get(name, name) for name in ports_of(order)) if order is not None else (),
            indices=indices,
            others=others_seen(client, settings.state_dir) if frr.options in checks else NO_OTHERS,
        )
        return [line for one in checks for line in one(router)]
