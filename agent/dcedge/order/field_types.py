"""What single values of the order file are: how each is read, what is said of a wrong one, and its JSON Schema."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from typing import Annotated, Any, Literal

from dcedge.units import parse_duration, parse_rate, shown

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network
Seconds = float
Family = Literal["ipv4", "ipv6"]

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"
IFNAME_MAX, ALTNAME_MAX = 15, 127
TEXT_MAX = 200
PCI_PREFIX = "pci-"  # as udev has it in ID_PATH
_MAC_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")
# Control characters, surrogates, line and paragraph separators; and what turns the direction of the text after it
# (Unicode's UAX 9). All else is somebody's ordinary text: no-break and ideographic spaces, joiners, new letters.
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_TEXT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LENGTH = re.compile(r"/[0-9]{1,3}\Z")


class NotOfTypeError(ValueError):
    """A value is not what belongs there, and there is no more to say than that."""


@dataclass(frozen=True, slots=True, eq=False)
class FieldType:
    """What a value is, in words that end the sentence "4095 is not ...".

    `read` makes it of what the file has; it raises ValueError with words of its own, or NotOfTypeError. A type
    without it names what one of several forms may have. A `secret` value is never shown: somebody may have written the
    password itself there.
    """

    text: str
    read: Callable[[object], Any] | None = None
    schema: Mapping[str, object] = field(default_factory=dict)
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Entries:
    """How many entries a list has."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Short:
    """A map that has only this key may be written as the key's value alone."""

    key: str


def number(low: int, high: int, what: str) -> FieldType:
    """A whole number within bounds."""

    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:  # true is not 1 here
            raise NotOfTypeError
        return value

    return FieldType(f"{what} ({low}-{high})", read, {"type": "integer", "minimum": low, "maximum": high})


def _word(pattern: str, text: str, *, secret: bool = False) -> FieldType:
    """A string of a pattern, which JSON Schema has as well."""
    matches = re.compile(pattern.removesuffix("$") + r"\Z").match

    def read(value: object) -> str:
        if not isinstance(value, str) or not matches(value):
            raise NotOfTypeError
        return value

    return FieldType(text, read, {"type": "string", "pattern": pattern}, secret)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotOfTypeError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise NotOfTypeError
    return value


def _rate(value: object) -> int:
    if isinstance(value, str):
        return parse_rate(value)
    raise ValueError(f"{shown(value)} needs a unit: a rate is written 2M, 500M or 10G (bits a second)")


def _duration(value: object) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{shown(value)} needs a unit: a duration is written 300ms, 1s or 5m")


def _text_that_is(value: object, what: str) -> str:
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
    text = _with_length(_text_that_is(value, "an address with its prefix length, such as 10.0.0.2/30"), "10.0.0.2/30")
    try:
        return ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not an address with its prefix length, such as 10.0.0.2/30") from error


def _address(value: object) -> Address:
    text = _text_that_is(value, "an IP address")
    try:
        if "%" not in text:
            return ip_address(text)
    except ValueError:
        pass
    hint = " (without a prefix length here)" if "/" in text else ""
    raise ValueError(f"{shown(text)} is not an IP address{hint}")


def _router_id(value: object) -> IPv4Address:
    try:
        return IPv4Address(_text_that_is(value, "a router ID"))
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not a router ID (written as an IPv4 address: 10.255.0.1)") from error


def _prefix(value: object) -> Prefix:
    text = _with_length(_text_that_is(value, "a prefix, such as 10.0.0.0/16"), "10.0.0.0/16")
    try:
        return ip_network(text)
    except ValueError as error:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{shown(text)} is not a prefix, such as 10.0.0.0/16") from error
        raise ValueError(f"{shown(text)} has bits set beyond its length; did you mean {meant}?") from error


def _port_name(value: object) -> str:
    # An alternative name may be longer than a link's own (ALTIFNAMSIZ in the kernel's if.h); else it is alike.
    return _ifname(value, ALTNAME_MAX)


def _mac_address(value: object) -> str:
    text = _text(value)
    if not _MAC_ADDRESS.match(text):
        raise NotOfTypeError
    return text.lower()


def _ifname(value: object, longest: int = IFNAME_MAX) -> str:
    # dev_valid_name() in the kernel: no slash, colon or blank, not a dot or two. Beyond it: nothing
    # unprintable and no quotes, as names end up in logs and in FRR's lines.
    name = _text(value)
    if (
        not name
        or len(name.encode()) > longest
        or name in {".", ".."}
        or not (name.isascii() and name.isprintable())
        or any(c in "/: '\"\\" for c in name)
    ):
        raise ValueError(f"{shown(name)} is not an interface name (1-{longest} characters, no blank, '/' or ':')")
    return name


def _printable(value: object) -> str:
    text = _text(value)
    if len(text) > TEXT_MAX:
        raise NotOfTypeError
    if text.isprintable():
        return text
    for character in text:
        if unicodedata.category(character) in _NO_TEXT or character in _TURNS_TEXT:
            told = f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character')})"
            raise ValueError(f"{shown(text)}: {told} is not allowed here, as it would change how the rest is shown")
    return text


def _string(description: str, pattern: str | None = None) -> Mapping[str, object]:
    return {"type": "string", "description": description} | ({"pattern": pattern} if pattern else {})


RateBps = Annotated[
    int,
    FieldType(
        "a rate, such as 500M", _rate, _string("bits a second, decimal: 2M, 500M, 10G", r"^[0-9]+(\.[0-9]+)?[KMG]$")
    ),
]
Duration = Annotated[
    Seconds,
    FieldType(
        "a duration, such as 300ms",
        _duration,
        _string("a duration: 300ms, 1s, 5m", r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"),
    ),
]
InterfaceField = Annotated[
    Interface,
    FieldType(
        "an address with its prefix length, such as 10.0.0.2/30",
        _interface,
        _string("an address with its prefix length: 10.0.0.2/30"),
    ),
]
AddressField = Annotated[Address, FieldType("an IP address", _address, _string("an IPv4 or IPv6 address"))]
PrefixField = Annotated[Prefix, FieldType("a prefix, such as 10.0.0.0/16", _prefix, _string("a prefix: 10.0.0.0/16"))]
RouterId = Annotated[
    IPv4Address,
    FieldType(
        "a router ID (written as an IPv4 address)", _router_id, _string("a router ID, written as an IPv4 address")
    ),
]
AbsolutePath = Annotated[str, _word(r"^/[^\x00-\x1f]*$", "a file's full path (it begins with /)")]
SecretPath = Annotated[str, _word(r"^/[^\x00-\x1f]*$", "a file's full path (it begins with /)", secret=True)]
SecretName = Annotated[
    str,
    _word(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", "a credential's name (letters, digits, '.', '_', '-')", secret=True),
]
Name = Annotated[str, _word(NAME_PATTERN, "a name (1-40 small letters, digits and '-', the first no '-')")]
IfName = Annotated[
    str, FieldType(f"an interface name (1-{IFNAME_MAX} characters, no blank, '/' or ':')", _ifname, {"type": "string"})
]
PortName = Annotated[
    str,
    FieldType(f"an interface name (1-{ALTNAME_MAX} characters, no blank, '/' or ':')", _port_name, {"type": "string"}),
]
MacAddress = Annotated[
    str,
    FieldType(
        "a hardware address, such as 52:54:00:12:34:56",
        _mac_address,
        _string("a hardware address: 52:54:00:12:34:56", r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"),
    ),
]
PciPath = Annotated[
    str,
    _word(
        rf"^{PCI_PREFIX}[0-9a-f]{{4}}:[0-9a-f]{{2}}:[0-9a-f]{{2}}\.[0-7]$",
        f"a place on the PCI bus, such as {PCI_PREFIX}0000:03:00.0",
    ),
]
Text = Annotated[
    str, FieldType(f"text of at most {TEXT_MAX} characters", _printable, {"type": "string", "maxLength": TEXT_MAX})
]
Listen = Annotated[str, FieldType("an address and a port, such as 127.0.0.1:9478", _text, {"type": "string"})]
# RFC 1123, 2.1: letters, digits and hyphens between dots.
HostName = Annotated[
    str,
    _word(
        r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
        "a host name, such as router.example.net (no port, no '*')",
    ),
]
ProviderName = Annotated[str, FieldType("a provider's name", _text, {"type": "string"})]
# RFC 6793; 0 and the last one are reserved (RFC 7607, RFC 7300).
Asn = Annotated[int, number(1, 4_294_967_294, "an AS number")]
Mtu = Annotated[int, FieldType("an MTU (68-9216 bytes)", (mtu := number(68, 9216, "an MTU")).read, mtu.schema)]
Flag = Annotated[bool, FieldType("true or false", _flag, {"type": "boolean"})]
Community = Annotated[
    str,
    _word(
        r"^([0-9]{1,5}:[0-9]{1,5}|no-export|no-advertise)$",
        "a community (such as 65010:100, no-export or no-advertise)",
    ),
]
