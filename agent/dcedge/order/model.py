"""The order as frozen values; DESIGN's words, SI units, every default in sight.

Sequences arrive as tuples (the loader makes them so); nothing is coerced from another type.
What a single value may be is in `field_types`; what needs two values or a provider's profile is in `checks`; how the
file's tree becomes these, and what is said of a wrong one, is in `validate`; positions in the file are in `load`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from dcedge.order.field_types import (
    AbsolutePath,
    AddressField,
    Asn,
    Community,
    Duration,
    Entries,
    Family,
    FieldType,
    Flag,
    HostName,
    IfName,
    InterfaceField,
    Listen,
    MacAddress,
    Mtu,
    Name,
    PciPath,
    PortName,
    PrefixField,
    ProviderName,
    RateBps,
    RouterId,
    SecretName,
    SecretPath,
    Short,
    Text,
    number,
)

ADDRESSES_MAX = 8  # of one virtual interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """This router."""

    asn: Asn
    """Its AS number; a virtual interface may say another (bgp.customer_asn)."""
    router_id: RouterId
    """BGP's router ID, unique in the network."""
    advertise: tuple[PrefixField, ...] = ()
    """What the clouds may reach here; announced only while it is in the routing table."""
    isolation: Flag = True
    """Nothing is forwarded between virtual gateways, except where a gateway says `reaches`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The daemon's own settings."""

    listen: Listen = "127.0.0.1:9478"
    """Where /metrics, the status page and /healthz are served."""
    web_config: AbsolutePath | None = None
    """TLS and basic auth for them: a web-config file as Prometheus' exporters have it."""
    hosts: tuple[HostName, ...] = ()
    """Names of this router under which they are answered, beside its host name, localhost and addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BondPort:
    """A port made of several: an LACP bond (IEEE 802.1AX)."""

    bond: IfName
    """The bond's interface name."""
    members: tuple[PortName, ...] = ()
    """The interfaces it is made from; none where the bond exists already."""
    lacp_rate: Literal["fast", "slow"] = "fast"
    """How often the partner is to send: every second or every 30."""
    min_links: Annotated[int, number(1, 16, "a number of links")] = 1
    """With fewer members than that the port counts as down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPort:
    """A port by what it is, whatever name the kernel gives it."""

    mac: MacAddress | None = None
    """The card's permanent hardware address (ethtool -P)."""
    path: PciPath | None = None
    """The card's place on the PCI bus, as udev has it in ID_PATH."""

    def __post_init__(self) -> None:
        if (self.mac is None) == (self.path is None):
            raise ValueError("a port is either {mac: ADDRESS} or {path: PLACE}")

    @property
    def name(self) -> str:
        """What it is called until its link is known: no link has a name with a colon."""
        return self.mac or self.path or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A leased line on a port of its own, or (with `over`) a hosted share of another connection."""

    provider: ProviderName
    """Whose line it is: the profile that fills in and limits the rest."""
    port: Annotated[
        PortName | BondPort | CardPort | None,
        FieldType("an interface name, {mac: ADDRESS}, {path: PLACE} or {bond: NAME, members: [...]}"),
    ] = None
    """The router's interface, by its name, an alternative one, its card or as a bond; not on a hosted connection."""
    over: Name | None = None
    """The connection that this one is a share of (a circuit, a hosted connection, a partner's attachment)."""
    outer: Annotated[int, number(1, 4094, "a VLAN ID")] | None = None
    """The outer tag of a hosted connection, where it has one."""
    protocol: Literal["802.1Q", "802.1ad"] = "802.1Q"
    """How the outer tag is marked: EtherType 0x8100 or 0x88a8."""
    bandwidth: RateBps
    """What was ordered."""
    mtu: Mtu | None = None
    """The MTU of its virtual interfaces; else the underlying connection's, else the profile's first."""
    oversubscribe: Flag = False
    """Its virtual interfaces may be ordered at more in sum than it has."""
    circuit_id: Text | None = None
    """The carrier's name for it."""
    description: Text | None = None
    """Free text."""

    @property
    def hosted(self) -> bool:
        """Whether it is a share of another connection."""
        return self.over is not None

    @property
    def port_name(self) -> str | None:
        """The port's interface name, or what stands for it; None on a hosted connection."""
        if isinstance(self.port, BondPort):
            return self.port.bond
        return self.port.name if isinstance(self.port, CardPort) else self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedPrefix:
    """A prefix that a gateway may announce; with `le` also more specific ones up to that length."""

    prefix: PrefixField
    """The prefix."""
    le: Annotated[int, number(1, 128, "a prefix length")] | None = None
    """The longest prefix within it that is accepted too."""


AcceptedField = Annotated[
    AcceptedPrefix, FieldType("a prefix, such as 10.0.0.0/16, or {prefix: 10.0.0.0/16, le: 24}"), Short("prefix")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualGateway:
    """The cloud's logical gateway to a VPC."""

    vpc: Annotated[Text | tuple[Text, ...], FieldType("a VPC's name, or a list of them")]
    """The VPC behind it; a list where the provider lets one gateway serve several."""
    asn: Asn | None = None
    """The cloud's AS number; a virtual interface may say another (bgp.cloud_asn)."""
    accept: Annotated[
        Literal["any"] | tuple[AcceptedField, ...], FieldType("any, or a list of prefixes such as [10.0.0.0/16]")
    ]
    """The prefixes that the cloud may announce, exact unless they have `le`; or `any`."""
    advertise: tuple[PrefixField, ...] | None = None
    """What this cloud may reach here, instead of the router's `advertise`."""
    vrf: IfName | None = None
    """The VRF of its virtual interfaces; without it the main table."""
    reaches: tuple[Name, ...] = ()
    """The virtual gateways that it may exchange traffic with through this router."""
    cloud_id: Text | None = None
    """The cloud's own identifier of it, for audits."""

    @property
    def vpcs(self) -> tuple[str, ...]:
        """The VPCs behind it."""
        return (self.vpc,) if isinstance(self.vpc, str) else self.vpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Where a secret is kept; never the secret itself."""

    credential: SecretName | None = None
    """The name of a file in /etc/dcedge/credentials, or of a systemd credential."""
    file: SecretPath | None = None
    """The full path of a file that holds nothing but the secret."""

    def __post_init__(self) -> None:
        if (self.credential is None) == (self.file is None):
            raise ValueError("a password is either {credential: NAME} or {file: PATH}")


Password = Annotated[
    Credential | None,
    FieldType("{credential: NAME} or {file: PATH}: a password itself is never written in the order", secret=True),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPair:
    """The two ends of one BGP session (or of one static next hop)."""

    customer: InterfaceField
    """This router's address with its prefix length."""
    cloud: AddressField
    """The cloud's address in the same subnet."""
    password: Password = None
    """The key of this session alone, before bgp.password."""

    @property
    def family(self) -> Family:
        """`ipv4` or `ipv6`."""
        return "ipv4" if self.customer.version == 4 else "ipv6"


@dataclass(frozen=True, slots=True, kw_only=True)
class BfdTimers:
    """BFD's timers (RFC 5880); detection takes interval x multiplier."""

    interval: Duration
    """How often a packet is sent and expected."""
    multiplier: Annotated[int, number(2, 255, "a BFD multiplier")] = 3
    """After how many missing packets the session is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bgp:
    """What the order says of the sessions; what it leaves out the provider's profile fills in."""

    customer_asn: Asn | None = None
    """This router's AS number on this virtual interface; else router.asn."""
    cloud_asn: Asn | None = None
    """The cloud's AS number; else the virtual gateway's `asn`, else the profile's."""
    password: Password = None
    """The TCP-MD5 key (RFC 2385) of the sessions."""
    bfd: Annotated[BfdTimers | Flag | None, FieldType("true, false or {interval: 300ms, multiplier: 3}")] = None
    """BFD's timers; or true (the profile's timers) or false; else as the profile has it."""
    keepalive: Duration | None = None
    """How often a keepalive is sent, in whole seconds."""
    hold: Duration | None = None
    """After how long without one the session is down, in whole seconds."""
    receive_limit: Annotated[int, number(1, 4_294_967_295, "a number of prefixes")] | None = None
    """Prefixes from the cloud, a session, before it is warned of."""
    advertise_limit: Annotated[int, number(1, 4_294_967_295, "a number of prefixes")] | None = None
    """Prefixes that the cloud takes, a session."""
    ttl_security: Flag = False
    """RFC 5082; only where the cloud says that it speaks it."""
    multihop: Annotated[int, number(1, 255, "a number of hops")] | None = None
    """The TTL of the sessions; 1 is a plain single hop."""
    communities: tuple[Community, ...] = ()
    """Communities on what is announced."""
    med: Annotated[int, number(0, 4_294_967_295, "a MED")] | None = None
    """The MED on what is announced."""
    allowas_in: Annotated[int, number(0, 10, "a number of occurrences")] = 0
    """How often the own AS number may be in a received path."""
    graceful_restart: Flag = False
    """RFC 4724: a restart of FRR costs no packet, where the cloud helps; not together with BFD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How the ordered bandwidth is held."""

    ingress: Flag = False
    """Shape what comes from the cloud too."""
    overhead: Annotated[int, number(0, 256, "an overhead in bytes a frame")] | None = None
    """Bytes a frame that the provider counts beyond the Ethernet frame; else the profile's."""
    queue: Literal["fq_codel", "cake", "pfifo"] = "fq_codel"
    """The queue below the shaper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Active measurement of one virtual interface."""

    interval: Duration = 1.0
    """How often an echo request goes to each cloud address."""
    stamp: Flag = False
    """STAMP (RFC 8762) as well, to the cloud address and for it: where the other end is yours too."""


Preference = Literal["primary", "backup", "equal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualInterface:
    """Binds one connection to one virtual gateway: VLAN, bandwidth, addresses, routing."""

    connection: Name
    """The connection it runs over."""
    virtual_gateway: Name
    """The virtual gateway it leads to."""
    vlan: Annotated[int, number(0, 4094, "a VLAN ID")]
    """Its 802.1Q tag; 0 is untagged, then its connection's only virtual interface."""
    bandwidth: RateBps | None = None
    """What was ordered; optional on a hosted or oversubscribed connection, whose own then bounds it."""
    admin: Literal["up", "down", "planned"] = "up"
    """`planned`: built and probed, but raises no alert."""
    addresses: Annotated[tuple[AddressPair, ...], Entries(1, ADDRESSES_MAX)]
    """An entry a BGP session (or a static next hop)."""
    preference: Preference = "primary"
    """Which of several to one gateway carries the traffic; `equal` shares it."""
    bgp: Bgp | None = None
    """Settings of the sessions; each is optional."""
    static: tuple[PrefixField, ...] | None = None
    """Static routes to the cloud, instead of BGP."""
    shaping: Shaping = Shaping()
    """How the bandwidth is held."""
    probe: Probe | None = None
    """How its latency and loss are measured."""
    description: Text | None = None
    """Free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The whole file. Build one through `dcedge.order.load`, which also runs the checks."""

    router: Router
    agent: Agent = Agent()
    connections: dict[Name, Connection] = field(default_factory=dict)
    """The leased lines and the hosted shares of them, by name."""
    virtual_gateways: dict[Name, VirtualGateway] = field(default_factory=dict)
    """The clouds' gateways, by name."""
    virtual_interfaces: dict[Name, VirtualInterface] = field(default_factory=dict)
    """The virtual interfaces, by name."""

    digests: dict[tuple[str, str], bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of each entry's text, by section and name: a load makes anew what differs (0.4 instead of 0.7 s at 4,000)."""
