"""The links that an order asks for."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.link.resource import Link
from dcedge.kernel.link.sysctls import IPV6_CONF, Settings
from dcedge.kernel.naming import CONNECTION_ALIAS, alias, altname, link_name
from dcedge.kernel.ordered import Ordered, OrderedInterface, has_ipv6
from dcedge.kernel.queue.handles import CONTROL_PCP
from dcedge.order.resolve import ResolvedInterface, Tag

_CONF_WITHOUT_IPV6 = tuple(item for item in IPV6_CONF if item[0] == "accept_ra")


def derive_shared(ordered: Ordered) -> Iterator[Link]:
    """The links for the outer tags, each under the next; several virtual interfaces share one."""
    carried: dict[tuple[str, tuple[Tag, ...]], list[ResolvedInterface]] = {}
    for interface in ordered.interfaces:
        for depth in range(1, len(interface.tags)):
            carried.setdefault((interface.port, interface.tags[:depth]), []).append(interface)
    for (port, tags), on_it in carried.items():
        yield Link(
            name=link_name(port, tags),
            below=link_name(port, tags[:-1]),
            tag=tags[-1],
            alias=CONNECTION_ALIAS + on_it[0].connection,
            altname=None,
            mtu=max(interface.mtu for interface in on_it),
            up=True,
            conf4=ordered.host.for_all.conf4(),
            conf6=_conf6(has_ipv6(on_it)),
            affects=tuple(interface.name for interface in on_it),
            control_pcp=CONTROL_PCP if ordered.kernel.skbedit else 0,
            depth=len(tags),
        )


def derive_interface(ordered: OrderedInterface) -> Iterator[Link]:
    """A virtual interface's own link."""
    interface = ordered.interface
    yield Link(
        name=ordered.link,
        below=link_name(interface.port, interface.tags[:-1]) if interface.tags else None,
        tag=interface.tags[-1] if interface.tags else None,
        alias=alias(interface.name),
        altname=altname(interface.name),
        mtu=interface.mtu,
        up=interface.admin != "down",
        conf4=ordered.host.for_all.conf4(),
        conf6=_conf6(ordered.ipv6),
        affects=ordered.affects,
        master=interface.vrf,
        control_pcp=CONTROL_PCP if ordered.kernel.skbedit and interface.tags else 0,
        depth=len(interface.tags),
    )


def _conf6(ipv6: bool) -> Settings:
    """The IPv6 settings of a link of ours: none heeds advertisements, and one without IPv6 forwards as it may."""
    return IPV6_CONF if ipv6 else _CONF_WITHOUT_IPV6
