"""What the kernel tells of LACP on a bond's members (linux/if_link.h; IEEE 802.1AX-2020, 6.4.2.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

from dcedge.kernel import messages as m
from dcedge.kernel.netlink import Span, attributes, string_at

_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")


class LacpState(IntFlag):
    """The state octet that LACPDUs carry of the actor and of its partner."""

    ACTIVITY = 0x01
    TIMEOUT = 0x02
    AGGREGATION = 0x04
    SYNCHRONIZATION = 0x08
    COLLECTING = 0x10
    DISTRIBUTING = 0x20
    DEFAULTED = 0x40
    EXPIRED = 0x80

    @property
    def carries(self) -> bool:
        """Whether this end sends and takes frames on the link."""
        carrying = LacpState.SYNCHRONIZATION | LacpState.COLLECTING | LacpState.DISTRIBUTING
        return self & carrying == carrying


@dataclass(frozen=True, slots=True)
class BondMember:
    """One member as its bond sees it. The states are None on a bond that speaks no LACP."""

    bond: int  # the bond's index
    failures: int  # how often it has lost its link since it joined
    aggregator: int | None
    actor: LacpState | None
    partner: LacpState | None

    @property
    def partner_heard(self) -> bool | None:
        """Whether LACPDUs of a partner arrive; without them the defaults stand in for it."""
        return None if self.actor is None else not self.actor & (LacpState.DEFAULTED | LacpState.EXPIRED)

    def in_use(self, active_aggregator: int | None) -> bool | None:
        """Whether both ends carry traffic on it, in the bundle that the bond uses."""
        if self.actor is None or self.partner is None:
            return None
        return self.actor.carries and self.partner.carries and self.aggregator == active_aggregator


def read_member(data: memoryview, link_info: Span, master: int) -> BondMember | None:
    """The member in a link's IFLA_LINKINFO; None where its master is no bond."""
    nest = attributes(data, *link_info)
    kind, values = nest.get(m.IFLA_INFO_SLAVE_KIND), nest.get(m.IFLA_INFO_SLAVE_DATA)
    if kind is None or values is None or string_at(data, kind) != "bond":
        return None
    found = attributes(data, *values)
    aggregator, actor, partner = (
        found.get(number)
        for number in (
            m.IFLA_BOND_SLAVE_AD_AGGREGATOR_ID,
            m.IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE,
            m.IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE,
        )
    )
    failures = found.get(m.IFLA_BOND_SLAVE_LINK_FAILURE_COUNT)
    return BondMember(
        bond=master,
        failures=_U32.unpack_from(data, failures[0])[0] if failures is not None else 0,
        aggregator=_U16.unpack_from(data, aggregator[0])[0] if aggregator is not None else None,
        actor=LacpState(data[actor[0]]) if actor is not None else None,
        partner=LacpState(_U16.unpack_from(data, partner[0])[0] & 0xFF) if partner is not None else None,
    )


def read_active_aggregator(data: memoryview, link_info: Span) -> int | None:
    """The bundle that a bond uses; None where the link is no bond that speaks LACP."""
    nest = attributes(data, *link_info)
    kind, values = nest.get(m.IFLA_INFO_KIND), nest.get(m.IFLA_INFO_DATA)
    if kind is None or values is None or string_at(data, kind) != "bond":
        return None
    told = attributes(data, *values).get(m.IFLA_BOND_AD_INFO)
    number = attributes(data, *told).get(m.IFLA_BOND_AD_INFO_AGGREGATOR) if told is not None else None
    return _U16.unpack_from(data, number[0])[0] if number is not None else None
