"""What the kernel tells of LACP on a bond's members (linux/if_link.h; IEEE 802.1AX-2020, 6.4.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from pyroute2.netlink.rtnl.ifinfmsg.plugins.bond import bond

from dcedge.netlink.descriptions import bond_slave_data
from dcedge.netlink.reader import Read, Reader

_AGGREGATOR, _FAILURES = "IFLA_BOND_SLAVE_AD_AGGREGATOR_ID", "IFLA_BOND_SLAVE_LINK_FAILURE_COUNT"
_ACTOR, _PARTNER = "IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE", "IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE"
MEMBER = Reader(bond_slave_data, _AGGREGATOR, _FAILURES, _ACTOR, _PARTNER)
ACTIVE = Reader(bond, nests={"IFLA_BOND_AD_INFO": Reader(bond.ad_info, "IFLA_BOND_AD_INFO_AGGREGATOR")})


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


def read_member(info: Read, master: int) -> BondMember | None:
    """The member in a link's IFLA_LINKINFO; None where its master is no bond."""
    if info.get("IFLA_INFO_SLAVE_KIND") != "bond" or "IFLA_INFO_SLAVE_DATA" not in info:
        return None
    said = MEMBER.read_bytes(info["IFLA_INFO_SLAVE_DATA"])
    return BondMember(
        bond=master,
        failures=said.get(_FAILURES, 0),
        aggregator=said.get(_AGGREGATOR),
        actor=LacpState(said[_ACTOR]) if _ACTOR in said else None,
        partner=LacpState(said[_PARTNER] & 0xFF) if _PARTNER in said else None,
    )


def read_active_aggregator(info: Read) -> int | None:
    """The bundle that a bond uses; None where the link is no bond that speaks LACP."""
    if info.get("IFLA_INFO_KIND") != "bond" or "IFLA_INFO_DATA" not in info:
        return None
    said = ACTIVE.read_bytes(info["IFLA_INFO_DATA"]).get("IFLA_BOND_AD_INFO", {})
    number: int | None = said.get("IFLA_BOND_AD_INFO_AGGREGATOR")
    return number
