"""The order as frozen values; DESIGN's words, SI units, every default in sight.

Sequences arrive as tuples (the loader makes them so); nothing is coerced from another type.
A model here checks what a single value can say about itself. What needs two values or a provider's
profile is in `checks`; positions in the file are in `load`; what is said of a wrong value in `validate`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated, Literal

from annotated_types import Interval, MaxLen, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from dcedge.units import parse_duration, parse_rate, shown, write_duration, write_rate

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network
Seconds = float
Family = Literal["ipv4", "ipv6"]

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"
IFNAME_MAX = 15
ADDRESSES_MAX = 8  # of one virtual interface
_LENGTH = re.compile(r"/[0-9]{1,3}\Z")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field holds, in words that end the sentence "4095 is not ...".

    A `secret` field's value is never shown: somebody may have written the password itself there.
    """

    text: str
    secret: bool = False


def _rate(value: object) -> int:
    if isinstance(value, str):
        return parse_rate(value)
    raise ValueError(f"{shown(value)} needs a unit: a rate is written 2M, 500M or 10G (bits a second)")


def _duration(value: object) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{shown(value)} needs a unit: a duration is written 300ms, 1s or 5m")


def _text(value: object, what: str) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{shown(value)} is not {what}")


def _with_length(text: str, example: str) -> str:
    # ipaddress would take 10.0.0.0/0.0.255.255 too, and guess which kind of mask it is.
    if not _LENGTH.search(text):
        if "/" in text:
            raise ValueError(f"{shown(text)}: the prefix length is written as a number, such as {example}")
        raise ValueError(f"{shown(text)} lacks its prefix length, such as {example}")
    if "%" in text:
        raise ValueError(f"{shown(text)}: an interface (%) has no place here")
    return text


def _interface(value: object) -> Interface:
    text = _with_length(_text(value, "an address with its prefix length, such as 10.0.0.2/30"), "10.0.0.2/30")
    try:
        return ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not an address with its prefix length, such as 10.0.0.2/30") from error


def _address(value: object) -> Address:
    text = _text(value, "an IP address")
    try:
        if "%" not in text:
            return ip_address(text)
    except ValueError:
        pass
    hint = " (without a prefix length here)" if "/" in text else ""
    raise ValueError(f"{shown(text)} is not an IP address{hint}")


def _router_id(value: object) -> IPv4Address:
    try:
        return IPv4Address(_text(value, "a router ID"))
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not a router ID (written as an IPv4 address: 10.255.0.1)") from error


def _prefix(value: object) -> Prefix:
    text = _with_length(_text(value, "a prefix, such as 10.0.0.0/16"), "10.0.0.0/16")
    try:
        return ip_network(text)
    except ValueError as error:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{shown(text)} is not a prefix, such as 10.0.0.0/16") from error
        raise ValueError(f"{shown(text)} has bits set beyond its length; did you mean {meant}?") from error


def _ifname(value: str) -> str:
    # dev_valid_name() in the kernel: no slash, colon or blank, not a dot or two. Beyond it: nothing
    # unprintable and no quotes, as names end up in logs and in FRR's lines.
    if (
        not value
        or len(value.encode()) > IFNAME_MAX
        or value in {".", ".."}
        or not (value.isascii() and value.isprintable())
        or any(c in "/: '\"\\" for c in value)
    ):
        raise ValueError(f"{shown(value)} is not an interface name (1-{IFNAME_MAX} characters, no blank, '/' or ':')")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{shown(value)}: control characters and line breaks are not allowed here")
    return value


def _schema(kind: str, description: str, pattern: str | None = None) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, "description": description} | ({"pattern": pattern} if pattern else {}))


def _number(low: int, high: int, what: str) -> tuple[object, Kind]:
    return Interval(ge=low, le=high), Kind(f"{what} ({low}-{high})")


RateBps = Annotated[
    int,
    BeforeValidator(_rate),
    PlainSerializer(write_rate, return_type=str),
    _schema("string", "bits a second, decimal: 2M, 500M, 10G", r"^[0-9]+(\.[0-9]+)?[KMG]$"),
    Kind("a rate, such as 500M"),
]
Duration = Annotated[
    Seconds,
    BeforeValidator(_duration),
    PlainSerializer(write_duration, return_type=str),
    _schema("string", "a duration: 300ms, 1s, 5m", r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"),
    Kind("a duration, such as 300ms"),
]
InterfaceField = Annotated[
    Interface,
    BeforeValidator(_interface),
    _schema("string", "an address with its prefix length: 10.0.0.2/30"),
    Kind("an address with its prefix length, such as 10.0.0.2/30"),
]
AddressField = Annotated[
    Address, BeforeValidator(_address), _schema("string", "an IPv4 or IPv6 address"), Kind("an IP address")
]
PrefixField = Annotated[
    Prefix,
    BeforeValidator(_prefix),
    _schema("string", "a prefix: 10.0.0.0/16"),
    Kind("a prefix, such as 10.0.0.0/16"),
]
RouterId = Annotated[
    IPv4Address,
    BeforeValidator(_router_id),
    _schema("string", "a router ID, written as an IPv4 address"),
    Kind("a router ID (written as an IPv4 address)"),
]
AbsolutePath = Annotated[
    str, StringConstraints(pattern=r"^/[^\x00-\x1f]*$"), Kind("a file's full path (it begins with /)")
]
Name = Annotated[
    str,
    StringConstraints(pattern=NAME_PATTERN),
    Kind("a name (1-40 small letters, digits and '-', the first no '-')"),
]
IfName = Annotated[
    str, AfterValidator(_ifname), Kind(f"an interface name (1-{IFNAME_MAX} characters, no blank, '/' or ':')")
]
VrfName = IfName
Text = Annotated[
    str, StringConstraints(max_length=200), AfterValidator(_printable), Kind("text of at most 200 characters")
]
# RFC 6793; 0 and the last one are reserved (RFC 7607, RFC 7300).
Asn = Annotated[int, Interval(ge=1, le=4_294_967_294), Kind("an AS number (1-4294967294)")]
Mtu = Annotated[int, Interval(ge=68, le=9216), Kind("an MTU (68-9216 bytes)")]
Flag = Annotated[bool, Kind("true or false")]
Community = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9]{1,5}:[0-9]{1,5}|no-export|no-advertise)$"),
    Kind("a community (such as 65010:100, no-export or no-advertise)"),
]


class Digests(dict[tuple[str, str], bytes]):
    """What each entry of the file looked like, by section and name; of no weight when orders are compared.

    `changed` are the virtual interfaces that are not the same objects as in the order whose `mark` is `since`.
    """

    __slots__ = ("changed", "mark", "since")
    __hash__ = None

    def __init__(self) -> None:
        self.mark = object()
        self.since: object = None
        self.changed: frozenset[str] = frozenset()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digests)


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
    )


class Router(_Model):
    """This router."""

    asn: Asn
    """Its AS number; a virtual interface may say another (bgp.customer_asn)."""
    router_id: RouterId
    """BGP's router ID, unique in the network."""
    advertise: tuple[PrefixField, ...] = ()
    """What the clouds may reach here; announced only while it is in the routing table."""
    isolation: Flag = True
    """Nothing is forwarded between virtual gateways, except where a gateway says `reaches`."""


class Agent(_Model):
    """The daemon's own settings."""

    listen: Annotated[str, Kind("an address and a port, such as 127.0.0.1:9478")] = "127.0.0.1:9478"
    """Where /metrics, the status page and /healthz are served."""
    web_config: AbsolutePath | None = None
    """TLS and basic auth for them: a web-config file as Prometheus' exporters have it."""


class Bond(_Model):
    """A port made of several: an LACP bond (IEEE 802.1AX)."""

    bond: IfName
    """The bond's interface name."""
    members: tuple[IfName, ...] = ()
    """The interfaces it is made from; none where the bond exists already."""
    lacp_rate: Literal["fast", "slow"] = "fast"
    """How often the partner is to send: every second or every 30."""
    min_links: Annotated[int, *_number(1, 16, "a number of links")] = 1
    """With fewer members than that the port counts as down."""


class Connection(_Model):
    """A leased line on a port of its own, or (with `over`) a hosted share of another connection."""

    provider: Annotated[str, Kind("a provider's name")]
    """Whose line it is: the profile that fills in and limits the rest."""
    port: Annotated[IfName | Bond | None, Kind("an interface name or {bond: NAME, members: [...]}")] = None
    """The router's interface, or a bond; not on a hosted connection."""
    over: Name | None = None
    """The connection that this one is a share of (a circuit, a hosted connection, a partner's attachment)."""
    outer: Annotated[int, *_number(1, 4094, "a VLAN ID")] | None = None
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
        """The port's interface name; None on a hosted connection."""
        return self.port.bond if isinstance(self.port, Bond) else self.port


class AcceptedPrefix(_Model):
    """A prefix that a gateway may announce; with `le` also more specific ones up to that length."""

    prefix: PrefixField
    """The prefix."""
    le: Annotated[int, *_number(1, 128, "a prefix length")] | None = None
    """The longest prefix within it that is accepted too."""


def _accepted(value: object) -> object:
    return {"prefix": value} if isinstance(value, str) else value


AcceptedField = Annotated[
    AcceptedPrefix,
    BeforeValidator(_accepted, json_schema_input_type=PrefixField | AcceptedPrefix),
    Kind("a prefix, such as 10.0.0.0/16, or {prefix: 10.0.0.0/16, le: 24}"),
]


class VirtualGateway(_Model):
    """The cloud's logical gateway to a VPC."""

    vpc: Annotated[Text | tuple[Text, ...], Kind("a VPC's name, or a list of them")]
    """The VPC behind it; a list where the provider lets one gateway serve several."""
    asn: Asn | None = None
    """The cloud's AS number; a virtual interface may say another (bgp.cloud_asn)."""
    accept: Annotated[
        Literal["any"] | tuple[AcceptedField, ...], Kind("any, or a list of prefixes such as [10.0.0.0/16]")
    ]
    """The prefixes that the cloud may announce, exact unless they have `le`; or `any`."""
    advertise: tuple[PrefixField, ...] | None = None
    """What this cloud may reach here, instead of the router's `advertise`."""
    vrf: VrfName | None = None
    """The VRF of its virtual interfaces; without it the main table."""
    reaches: tuple[Name, ...] = ()
    """The virtual gateways that it may exchange traffic with through this router."""
    cloud_id: Text | None = None
    """The cloud's own identifier of it, for audits."""

    @property
    def vpcs(self) -> tuple[str, ...]:
        """The VPCs behind it."""
        return (self.vpc,) if isinstance(self.vpc, str) else self.vpc


class Credential(_Model):
    """Where a secret is kept; never the secret itself."""

    credential: (
        Annotated[
            str,
            StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"),
            Kind("a credential's name (letters, digits, '.', '_', '-')", secret=True),
        ]
        | None
    ) = None
    """The name of a file in /etc/dcedge/credentials, or of a systemd credential."""
    file: (
        Annotated[
            str,
            StringConstraints(pattern=r"^/[^\x00-\x1f]*$"),
            Kind("a file's full path (it begins with /)", secret=True),
        ]
        | None
    ) = None
    """The full path of a file that holds nothing but the secret."""

    @model_validator(mode="after")
    def _one_of(self) -> Credential:
        if (self.credential is None) == (self.file is None):
            raise ValueError("a password is either {credential: NAME} or {file: PATH}")
        return self


Password = Annotated[
    Credential | None,
    Kind("{credential: NAME} or {file: PATH}: a password itself is never written in the order", secret=True),
]


class AddressPair(_Model):
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


class BfdTimers(_Model):
    """BFD's timers (RFC 5880); detection takes interval x multiplier."""

    interval: Duration
    """How often a packet is sent and expected."""
    multiplier: Annotated[int, *_number(2, 255, "a BFD multiplier")] = 3
    """After how many missing packets the session is down."""


class Bgp(_Model):
    """What the order says of the sessions; what it leaves out the provider's profile fills in."""

    customer_asn: Asn | None = None
    """This router's AS number on this virtual interface; else router.asn."""
    cloud_asn: Asn | None = None
    """The cloud's AS number; else the virtual gateway's `asn`, else the profile's."""
    password: Password = None
    """The TCP-MD5 key (RFC 2385) of the sessions."""
    bfd: Annotated[BfdTimers | Flag | None, Kind("true, false or {interval: 300ms, multiplier: 3}")] = None
    """BFD's timers; or true (the profile's timers) or false; else as the profile has it."""
    keepalive: Duration | None = None
    """How often a keepalive is sent, in whole seconds."""
    hold: Duration | None = None
    """After how long without one the session is down, in whole seconds."""
    receive_limit: Annotated[int, *_number(1, 4_294_967_295, "a number of prefixes")] | None = None
    """Prefixes from the cloud, a session, before it is warned of."""
    advertise_limit: Annotated[int, *_number(1, 4_294_967_295, "a number of prefixes")] | None = None
    """Prefixes that the cloud takes, a session."""
    ttl_security: Flag = False
    """RFC 5082; only where the cloud says that it speaks it."""
    multihop: Annotated[int, *_number(1, 255, "a number of hops")] | None = None
    """The TTL of the sessions; 1 is a plain single hop."""
    communities: tuple[Community, ...] = ()
    """Communities on what is announced."""
    med: Annotated[int, *_number(0, 4_294_967_295, "a MED")] | None = None
    """The MED on what is announced."""
    allowas_in: Annotated[int, *_number(0, 10, "a number of occurrences")] = 0
    """How often the own AS number may be in a received path."""
    graceful_restart: Flag = False
    """RFC 4724: a restart of FRR costs no packet, where the cloud helps; not together with BFD."""


class Shaping(_Model):
    """How the ordered bandwidth is held."""

    ingress: Flag = False
    """Shape what comes from the cloud too."""
    overhead: Annotated[int, *_number(0, 256, "an overhead in bytes a frame")] | None = None
    """Bytes a frame that the provider counts beyond the Ethernet frame; else the profile's."""
    queue: Literal["fq_codel", "cake", "pfifo"] = "fq_codel"
    """The queue below the shaper."""


class Probe(_Model):
    """Active measurement of one virtual interface."""

    interval: Duration = 1.0
    """How often an echo request goes to each cloud address."""
    stamp: Flag = False
    """STAMP (RFC 8762) as well, to the cloud address and for it: where the other end is yours too."""


Preference = Literal["primary", "backup", "equal"]


class VirtualInterface(_Model):
    """Binds one connection to one virtual gateway: VLAN, bandwidth, addresses, routing."""

    connection: Name
    """The connection it runs over."""
    virtual_gateway: Name
    """The virtual gateway it leads to."""
    vlan: Annotated[int, *_number(0, 4094, "a VLAN ID")]
    """Its 802.1Q tag; 0 is untagged, then its connection's only virtual interface."""
    bandwidth: RateBps | None = None
    """What was ordered; optional on a hosted or oversubscribed connection, whose own then bounds it."""
    admin: Literal["up", "down", "planned"] = "up"
    """`planned`: built and probed, but raises no alert."""
    addresses: Annotated[tuple[AddressPair, ...], MinLen(1), MaxLen(ADDRESSES_MAX)]
    """An entry a BGP session (or a static next hop)."""
    preference: Preference = "primary"
    """Which of several to one gateway carries the traffic; `equal` shares it."""
    bgp: Bgp | None = None
    """Settings of the sessions; each is optional."""
    static: tuple[PrefixField, ...] | None = None
    """Static routes to the cloud, instead of BGP."""
    shaping: Shaping = Shaping()
    """How the bandwidth is held."""
    probe: Probe = Probe()
    """How its latency and loss are measured."""
    description: Text | None = None
    """Free text."""


class Order(_Model):
    """The whole file. Build one through `dcedge.order.load`, which also runs the checks."""

    router: Router
    agent: Agent = Agent()
    connections: dict[Name, Connection] = Field(default_factory=dict)
    """The leased lines and the hosted shares of them, by name."""
    virtual_gateways: dict[Name, VirtualGateway] = Field(default_factory=dict)
    """The clouds' gateways, by name."""
    virtual_interfaces: dict[Name, VirtualInterface] = Field(default_factory=dict)
    """The virtual interfaces, by name."""

    _digests: Digests = PrivateAttr(default_factory=Digests)

    @property
    def digests(self) -> Digests:
        """What each entry's text looked like; the next load finds by it what did not change."""
        return self._digests
