"""FRR's configuration as values: each line with the contexts it stands in, read from `show running-config`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dcedge.logging.masking import MASK, Held, hide, hold

# The words in FRR's lines, from 8.4 to 10.7, before what nobody else may see: BGP keys, and the operator's own.
_BEFORE_SECRETS = (
    r"(?:area-|domain-|enable |isis |openfabric )?password(?: 8| clear| md5)?",  # BGP, LDP, MSDP, IS-IS, vty
    r"key-string",  # key chains: OSPF, RIP, EIGRP
    r"authentication-key",  # OSPF, also on virtual links
    r"message-digest-key \d+ md5",
    r"ospf6 authentication .*hash-algo \S+ key",
    r"rip authentication string",
    r"auth string:",  # what ripd logs of a packet
    r"nhrp authentication",
    r"tcp-md5-auth",  # PCEP
)
_SECRET = re.compile(rf"(?<!\S)((?:{'|'.join(_BEFORE_SECRETS)})[ \t]+)(\S.*)")
_BEHIND_SECRETS = re.compile(r" authenticate snp \S+$| \d+\.\d+\.\d+\.\d+$")
_CLOSERS = frozenset({"exit", "end", "exit-address-family", "exit-vrf", "exit-vni", "exit-vrf-policy", "exit-link"})
_OPENER = re.compile(r"(?:router bgp|address-family|profile) \S|bfd$|route-map \S+ (?:permit|deny) \d+$")
# FRR before 10.3 prints `internet` where later ones print the number, and takes both.
_INTERNET = re.compile(r"(?<=^set community )internet\b")
# What opens an instance may have its ASN in dots (RFC 5396) and end in words that say how it is shown (`as-notation
# dot`): it is the same instance, and FRR takes it by its number alone.
_INSTANCE = re.compile(r"router bgp (?P<asn>\S+)(?P<name> (?:vrf|view) \S+)?(?: .*)?")
_DOTTED_ASN = re.compile(r"(\d+)\.(\d+)")
_BANNERS = frozenset({"Building configuration...", "Current configuration:"})


def mask(text: str) -> str:
    """The text with `***` for every secret: for those that are known, and for what the words before it say is one."""
    return _SECRET.sub(rf"\g<1>{MASK}", hide(text))


def held_secrets(text: str) -> tuple[Held, ...]:
    """What a configuration of FRR's has for secrets, hidden from now on wherever they are told of."""
    return tuple(hold(_BEHIND_SECRETS.sub("", words)) for _, words in _SECRET.findall(text))


@dataclass(frozen=True, slots=True, order=True, repr=False)
class ConfigLine:
    """One line and the context it stands in, outermost first: (("router bgp 65010",), "neighbor 10.0.0.1 shutdown").

    A line that opens a context is a line itself. `str` and `repr` hide secrets; `text` does not.
    """

    path: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return mask(self.text)

    def __repr__(self) -> str:
        return " / ".join(map(mask, (*self.path, self.text)))

    def packed(self) -> str:
        """The line and its contexts as one string; `unpack` undoes it. It may hold a secret."""
        return "\t".join((*self.path, self.text)) if self.path else self.text


def unpack(entry: str) -> ConfigLine:
    """The line behind its packed form."""
    *path, text = entry.split("\t")
    return ConfigLine(tuple(path), text)


@dataclass(frozen=True, slots=True)
class FrrConfig:
    """A configuration as the set of its lines, packed; FRR's order carries no meaning where lines are numbered.

    Packed, because a thousand sessions have ten thousand lines, and as objects those take most of a pass's time.
    `secrets` are those in what it was read from.
    """

    entries: frozenset[str] = field(default=frozenset(), repr=False)
    secrets: tuple[Held, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, lines: Iterable[ConfigLine]) -> FrrConfig:
        """The configuration of just these lines."""
        return cls(frozenset(line.packed() for line in lines))

    @classmethod
    def parse(cls, text: str) -> FrrConfig:
        """Read what `show running-config` prints. Anything is accepted: what it does not know it keeps as it is."""
        return cls(frozenset(_entries(text)), held_secrets(text))

    @property
    def lines(self) -> frozenset[ConfigLine]:
        """Every line as a value, made anew each time."""
        return frozenset(map(unpack, self.entries))

    def __contains__(self, line: ConfigLine) -> bool:
        return line.packed() in self.entries

    def merged(self, other: FrrConfig) -> FrrConfig:
        """This one's lines and the other's."""
        return FrrConfig(self.entries | other.entries, self.secrets + other.secrets)

    def context(self, opener: str) -> FrrConfig:
        """The line that opens a context, and what stands in it."""
        within = frozenset(e for e in self.entries if e == opener or e.startswith(f"{opener}\t"))
        return FrrConfig(within, self.secrets)


def parse_lines(text: str) -> list[ConfigLine]:
    """The lines of a configuration in their order, each once."""
    return [unpack(entry) for entry in dict.fromkeys(_entries(text))]


def _entries(text: str) -> Iterator[str]:
    """The packed lines of a configuration in their order.

    FRR indents by one blank a level, whatever the daemon; `!`, blanks and the words that close a context carry nothing.
    """
    open_contexts: list[tuple[int, str]] = []
    context = ""
    for raw in text.replace("\r", "\n").replace("\t", " ").split("\n"):
        body = raw.strip(" ")
        if not body or body[0] == "!" or body in _BANNERS:
            continue
        indent = raw.find(body)
        while open_contexts and open_contexts[-1][0] >= indent:
            open_contexts.pop()
            context = open_contexts[-1][1] if open_contexts else ""
        if body in _CLOSERS:
            continue
        entry = context + _as_we_write_it(body)
        yield entry
        context = f"{entry}\t"
        open_contexts.append((indent, context))


def _as_we_write_it(body: str) -> str:
    """A line in our own words, where FRR has several for the same."""
    if body.startswith("router bgp ") and (found := _INSTANCE.fullmatch(body)):
        asn = found["asn"]
        if dotted := _DOTTED_ASN.fullmatch(asn):
            asn = str(int(dotted[1]) << 16 | int(dotted[2]))
        return f"router bgp {asn}{found['name'] or ''}"
    return _INTERNET.sub("0:0", body) if "internet" in body else body


def render_lines(lines: Iterable[ConfigLine]) -> str:
    """Configuration text that FRR can load, in the given order.

    Only BGP's contexts are left by `exit`. Elsewhere the next line leaves them, since every `exit` makes FRR's
    northbound commit what is pending, and a commit takes as long as the whole configuration is large: 200 route-maps
    load in 0.4 s without, in 5 s with it.
    """
    text: list[str] = []
    current: tuple[str, ...] = ()
    for line in lines:
        shared = _common_length(current, line.path)
        _leave(text, current, shared)
        text.extend(" " * depth + line.path[depth] for depth in range(shared, len(line.path)))
        text.append(" " * len(line.path) + line.text)
        current = (*line.path, line.text) if _OPENER.match(line.text) else line.path
    _leave(text, current, 0)
    return "".join(f"{entry}\n" for entry in text)


def _common_length(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        length += 1
    return length


def _leave(text: list[str], path: tuple[str, ...], depth_kept: int) -> None:
    if path and path[0].startswith("router bgp "):
        text.extend(
            " " * depth + ("exit-address-family" if path[depth].startswith("address-family ") else "exit")
            for depth in reversed(range(depth_kept, len(path)))
        )
