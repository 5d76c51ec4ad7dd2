"""What pyroute2 0.9.7 lacks or has otherwise than the kernel, as subclasses of its classes; each names the gap.

A subclass with a map or a class of its own says so (`_nlmsg_base__compiled_nla`): else it would inherit what a parent
that was used before has compiled, and its own would be ignored. Names are pyroute2's, or like them.
"""

from __future__ import annotations

from pyroute2.netlink import nla, nlmsg
from pyroute2.netlink.generic.ethtool import ethtool_module_eeprom_msg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.tcmsg import sched_bpf, sched_cake, sched_htb, sched_tbf, tcmsg
from pyroute2.netlink.rtnl.tcmsg.common_act import tca_act_prio

# Missing: this socket option, next to NETLINK_EXT_ACK (linux/netlink.h).
NETLINK_CAP_ACK = 10
# Missing in Python's socket module (asm-generic/socket.h).
SO_RCVBUFFORCE = 33
# Missing: values of attributes that pyroute2 takes and gives as plain numbers.
RTEXT_FILTER_SKIP_STATS = 1 << 3  # IFLA_EXT_MASK, linux/rtnetlink.h
RT_TABLE_MAIN, RT_TABLE_COMPAT = 254, 252  # linux/rtnetlink.h
RTM_F_FIB_MATCH = 0x2000  # linux/rtnetlink.h
RTPROT_KEEPALIVED, RTPROT_BABEL = 18, 42  # linux/rtnetlink.h
RTPROT_ZSTATIC = 196  # static routes by FRR, which numbers them itself (its zebra/rt_netlink.h)
IFAPROT_KERNEL_LL = 3  # IFA_PROTO, linux/if_addr.h
BOND_MODE_8023AD, BOND_XMIT_POLICY_LAYER34 = 4, 1  # linux/if_bonding.h
NETCONFA_IFINDEX_ALL = -1  # linux/netconf.h
INGRESS_HANDLE = 0xFFFF0000  # of the ingress qdisc; pyroute2 has the number, without a name (linux/pkt_sched.h)
INGRESS_FILTERS = 0xFFFFFFF2  # what comes in, by an ingress qdisc and by clsact: TC_H_CLSACT with TC_H_MIN_INGRESS


class ipv4_devconf(nla):
    """IPv4 settings as they are written (IPV4_DEVCONF_*, linux/ip.h).

    Missing: pyroute2 has the structure alone that they are read in, with the attribute's header as its first field.
    """

    _nlmsg_base__compiled_nla = False
    nla_map = tuple((name, "uint32") for name in ifinfmsg.af_spec_inet.inet.field_names)


class ipv4_devconf_read(nla):
    """IPv4 settings as they are read: the same numbers, one after another, from 1 on."""

    fields = tuple(ifinfmsg.af_spec_inet.inet.fields[1:])


class inet(nla):
    """AF_INET in IFLA_AF_SPEC (linux/if_link.h). Wrong: pyroute2 takes one of its attributes for the whole of it."""

    _nlmsg_base__compiled_nla = False
    nla_map = (("IFLA_INET_UNSPEC", "none"), ("IFLA_INET_CONF", "ipv4_devconf"))
    ipv4_devconf = ipv4_devconf


class af_spec_inet(ifinfmsg.af_spec_inet):
    """IFLA_AF_SPEC with the AF_INET above."""

    _nlmsg_base__compiled_nla = False
    inet = inet


class bond_slave_data(ifinfmsg.ifinfo.bond_slave_data):
    """A bond's member. Missing: what LACP has found out about it (linux/if_link.h)."""

    _nlmsg_base__compiled_nla = False
    nla_map = (
        *ifinfmsg.ifinfo.bond_slave_data.nla_map,
        ("IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE", "uint8"),
        ("IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE", "uint16"),
    )


class netconf_message(nlmsg):
    """netconfmsg: settings of a link, or for all of them (linux/netconf.h). Missing: all of it."""

    prefix = "NETCONFA_"
    fields = (("family", "B"), ("__pad", "3x"))
    nla_map = (("NETCONFA_UNSPEC", "none"), ("NETCONFA_IFINDEX", "int32"), ("NETCONFA_FORWARDING", "int32"))


class link_message(ifinfmsg):
    """ifinfomsg with all of the above."""

    _nlmsg_base__compiled_nla = False
    af_spec_inet = af_spec_inet

    class ifinfo(ifinfmsg.ifinfo):
        """IFLA_LINKINFO with the bond's member above."""

        _nlmsg_base__compiled_nla = False
        bond_slave_data = bond_slave_data


class htb_options(sched_htb.options):
    """HTB. Wrong: pyroute2 works out rate tables of 1 KB for each rate, which kernels since 3.8 do not look at."""

    _nlmsg_base__compiled_nla = False

    class htb_parms(nla):
        """tc_htb_opt, just as it is given."""

        fields = sched_htb.options.htb_parms.fields


class tbf_options(sched_tbf.options):
    """TBF. Missing: rates beyond 32 bits and bursts in bytes (linux/pkt_sched.h). Wrong: rate tables, as for HTB."""

    _nlmsg_base__compiled_nla = False
    nla_map = (
        *sched_tbf.options.nla_map,
        ("TCA_TBF_RATE64", "uint64"),
        ("TCA_TBF_PRATE64", "uint64"),
        ("TCA_TBF_BURST", "uint32"),
        ("TCA_TBF_PBURST", "uint32"),
    )

    class tbf_parms(nla):
        """tc_tbf_qopt, just as it is given."""

        fields = sched_tbf.options.tbf_parms.fields


class cake_options(sched_cake.options):
    """cake. Wrong: pyroute2 adds TCA_CAKE_AUTORATE to whatever is asked for."""

    _nlmsg_base__compiled_nla = False
    encode = nla.encode


class bpf_options(sched_bpf.options):
    """The classic BPF filter. Wrong: its program, and the length of that, are declared as 32-bit numbers."""

    _nlmsg_base__compiled_nla = False
    nla_map = tuple(
        (name, {"TCA_BPF_OPS_LEN": "uint16", "TCA_BPF_OPS": "cdata"}.get(name, form))
        for name, form in sched_bpf.options.nla_map
    )


class action_message(tcmsg):
    """tcamsg (linux/rtnetlink.h). Missing: pyroute2 has the actions of filters alone, none by themselves."""

    _nlmsg_base__compiled_nla = False
    fields = (("family", "B"), ("pad1", "B"), ("pad2", "H"))
    nla_map = (("TCA_ROOT_UNSPEC", "none"), ("TCA_ROOT_TAB", "tca_act_prio"))
    tca_act_prio = tca_act_prio


_OPTIONS = {"htb": htb_options, "tbf": tbf_options, "cake": cake_options, "bpf": bpf_options}


class queue_message(tcmsg):
    """tcmsg with all of the above."""

    _nlmsg_base__compiled_nla = False

    @staticmethod
    def get_options(message: tcmsg, **keywords: object) -> type:
        """The class of TCA_OPTIONS, by TCA_KIND."""
        ours = _OPTIONS.get(message.get_attr("TCA_KIND"))
        return ours if ours is not None else tcmsg.get_options(message, **keywords)


class module_eeprom_message(ethtool_module_eeprom_msg):
    """A transceiver's memory. Wrong: its bytes would be read as an array of numbers."""

    _nlmsg_base__compiled_nla = False
    nla_map = tuple(
        (name, "cdata" if name.endswith("_DATA") else form) for name, form in ethtool_module_eeprom_msg.nla_map
    )
