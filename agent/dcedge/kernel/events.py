"""The kernel's word that something changed: links, addresses, queues. What changed is for the next pass to see."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pyroute2.netlink import NETLINK_ROUTE
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELQDISC,
    RTM_DELRULE,
    RTM_DELTCLASS,
    RTM_DELTFILTER,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNETCONF,
    RTM_NEWQDISC,
    RTM_NEWRULE,
    RTM_NEWTCLASS,
    RTM_NEWTFILTER,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_RULE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_RULE,
    RTMGRP_LINK,
    RTMGRP_TC,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_NETCONF,
)
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from dcedge.netlink.descriptions import NETCONFA_IFINDEX_ALL, netconf_message
from dcedge.netlink.event_receiver import EventReceiver, EventsLostError, messages_in
from dcedge.netlink.layout import fields_struct
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import Wire

# No route groups: a full table would drown us.
_GROUPS = (
    RTMGRP_LINK
    | RTMGRP_TC
    | RTMGRP_IPV4_IFADDR
    | RTMGRP_IPV6_IFADDR
    | RTMGRP_IPV4_RULE
    | RTMGRP_IPV6_RULE
    | 1 << RTNLGRP_IPV4_NETCONF - 1
    | 1 << RTNLGRP_IPV6_NETCONF - 1
)
_QUEUE_TYPES = {RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTCLASS, RTM_DELTCLASS, RTM_NEWTFILTER, RTM_DELTFILTER}
_INDEX_TYPES = _QUEUE_TYPES | {RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR}
_RULE_TYPES = {RTM_NEWRULE, RTM_DELRULE}
_NETCONF = Reader(netconf_message, "family", "NETCONFA_IFINDEX", "NETCONFA_FORWARDING")
_INDEX = fields_struct(ifinfmsg, ("index",))  # ifaddrmsg and tcmsg have it at the same place
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Changed:
    """The links that something happened to, by index; whether to their queues; whether to settings for all links, or to
    rules."""

    links: frozenset[int]
    queues: bool
    settings: bool = False


class EventSocket(EventReceiver):
    """A non-blocking netlink socket that hears of changes in this network namespace; `buffer_bytes` wait to be read.

    It hears them from `wire` where one is given.
    """

    def __init__(self, buffer_bytes: int = _RECEIVE_BUFFER_BYTES, *, wire: Wire | None = None) -> None:
        super().__init__(NETLINK_ROUTE, _GROUPS, buffer_bytes=buffer_bytes, wire=wire)
        self._forwarding: dict[int, int] = {}  # of all links, as last told, by address family

    def forget(self) -> None:
        """Let go of what happened until now, before a look at everything: that will show it. For any thread."""
        self._forwarding.clear()
        while True:
            try:
                if not sum(1 for _ in self.datagrams()):
                    return
            except EventsLostError:
                continue

    def changed(self) -> Changed | None:
        """What happened since the last call; None where events were lost (ENOBUFS): look at everything.

        Reads a bounded number of datagrams, so that a storm of events cannot hold the caller.
        """
        links: set[int] = set()
        queues = settings = False
        try:
            for datagram in self.datagrams():
                for message_type, start, end in messages_in(datagram):
                    if message_type in _INDEX_TYPES and start + _INDEX.size <= end:
                        links.add(_INDEX.unpack_from(datagram, start)[0])
                        queues |= message_type in _QUEUE_TYPES
                    elif message_type == RTM_NEWNETCONF:
                        index = self._set_at(memoryview(datagram), start, end)
                        settings |= index == NETCONFA_IFINDEX_ALL
                        links |= {index} if index > 0 else set()
                    settings |= message_type in _RULE_TYPES
        except EventsLostError:
            self._forwarding.clear()
            return None
        return Changed(frozenset(links), queues, settings)

    def _set_at(self, data: memoryview, start: int, end: int) -> int:
        """The index of the link that a setting changed at (NETCONFA_IFINDEX_ALL: all of them); 0 where it says no more.

        Forwarding that is set for all the kernel tells of each link besides, of thousands: who puts it back for all has
        put it back at each.
        """
        try:
            said = _NETCONF.read(data, start, end)
        except struct.error:  # a message that is cut: look at them all
            return NETCONFA_IFINDEX_ALL
        index, forwarding = said.get("NETCONFA_IFINDEX", 0), said.get("NETCONFA_FORWARDING")
        if forwarding is None:
            return int(index)
        if index < 0:  # for all, or for new ones: before the links IPv4 tells both, IPv6 the latter
            self._forwarding[said["family"]] = forwarding
        elif self._forwarding.get(said["family"]) == forwarding:
            return 0
        return int(index)
