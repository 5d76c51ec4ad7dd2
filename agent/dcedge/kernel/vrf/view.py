"""What leads into VRFs' tables, as the kernel tells of it."""

from __future__ import annotations

from socket import AF_INET, AF_INET6

from pyroute2.netlink.rtnl.fibmsg import fibmsg

from dcedge.kernel import questions
from dcedge.kernel.dump import dump_family
from dcedge.kernel.link.view import dump_links
from dcedge.kernel.vrf.resource import Version
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket

RULE = Reader(fibmsg, "table", "FRA_TABLE", "FRA_L3MDEV")


def tables_in_use(sock: RouteSocket) -> set[int]:
    """The routing tables that VRFs or rules of this network namespace lead to."""
    used = {link.table for link in dump_links(sock) if link.table}
    for family in (AF_INET, AF_INET6):
        used |= set(dump_family(sock, questions.rules(family), _rule_table))
    return used


def vrf_rules(sock: RouteSocket) -> set[Version]:
    """The IP versions whose packets are looked up in their VRF's table (l3mdev; ip-rule(8))."""
    families: dict[Version, int] = {4: AF_INET, 6: AF_INET6}
    return {
        version
        for version, family in families.items()
        if any(dump_family(sock, questions.rules(family), lambda *span: RULE.read(*span).get("FRA_L3MDEV", 0)))
    }


def _rule_table(data: memoryview, start: int, end: int) -> int:
    said = RULE.read(data, start, end)
    return int(said.get("FRA_TABLE") or said["table"])
