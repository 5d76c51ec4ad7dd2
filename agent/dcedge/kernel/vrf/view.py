"""What leads into VRFs' tables, as the kernel tells of it."""

from __future__ import annotations

from socket import AF_INET, AF_INET6

from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES, fibmsg

from dcedge.kernel import questions
from dcedge.kernel.dump import dump_family
from dcedge.kernel.link.view import dump_links
from dcedge.kernel.vrf.resource import Version
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket

# What narrows a rule down to some packets (ip-rule(8)).
_SELECTORS = (
    "src_len", "dst_len", "tos", "FRA_IIFNAME", "FRA_OIFNAME", "FRA_FWMARK", "FRA_IP_PROTO", "FRA_SPORT_RANGE",
    "FRA_DPORT_RANGE", "FRA_UID_RANGE", "FRA_TUN_ID",
)  # fmt: skip
_MAIN_PRIORITY = 32766  # of the rule that leads to the main table, whatever comes behind it is too late
RULE = Reader(fibmsg, "table", "action", "FRA_TABLE", "FRA_L3MDEV", "FRA_PRIORITY", *_SELECTORS)


def tables_in_use(sock: RouteSocket) -> set[int]:
    """The routing tables that VRFs or rules of this network namespace lead to."""
    used = {link.table for link in dump_links(sock) if link.table}
    for family in (AF_INET, AF_INET6):
        used |= set(dump_family(sock, questions.rules(family), _rule_table))
    return used


def vrf_rules(sock: RouteSocket) -> set[Version]:
    """The IP versions whose packets are all looked up in their VRF's table (l3mdev; ip-rule(8))."""
    families: dict[Version, int] = {4: AF_INET, 6: AF_INET6}
    return {
        version
        for version, family in families.items()
        if any(dump_family(sock, questions.rules(family), _leads_into_vrfs))
    }


def _leads_into_vrfs(data: memoryview, start: int, end: int) -> bool:
    said = RULE.read(data, start, end)
    if not said.get("FRA_L3MDEV") or said["action"] != FR_ACT_NAMES["FR_ACT_TO_TBL"]:
        return False
    return said.get("FRA_PRIORITY", 0) < _MAIN_PRIORITY and not any(said.get(name) for name in _SELECTORS)


def _rule_table(data: memoryview, start: int, end: int) -> int:
    said = RULE.read(data, start, end)
    return int(said.get("FRA_TABLE") or said["table"])
