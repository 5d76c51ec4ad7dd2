"""The kernel's objects as resources: what a link, an address, a shaper or a sysctl should be, or is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from dcedge.kernel.shaping import HtbClass, Leaf, Tree
from dcedge.order.kinds import Address, Interface, Prefix
from dcedge.order.resolve import Tag
from dcedge.resource import Change, Disruption, Key, Plain
from dcedge.units import format_rate

ROUTE_PROTOCOL = 0xDC  # what we own among routes and addresses; free in rt_protos
RANK_SYSCTL, RANK_VRF, RANK_BOND, RANK_PORT, RANK_LINK, RANK_ADDRESS = 0, 4, 6, 10, 30, 40
RANK_ROUTE, RANK_SHAPER, RANK_INGRESS = 45, 50, 55
# What a look at single links does not show: where these change, everything is looked at.
WIDE_KINDS = frozenset({"sysctl", "vrf", "bond", "port"})

# Per-interface safety, read back from the same link dump (ip-sysctl.txt): no redirects, no source routing, ARP only
# for and from the interface's own addresses, no reverse-path filter (primary and backup paths are asymmetric).
IPV4_CONF: tuple[tuple[str, int], ...] = (
    ("forwarding", 1),
    ("accept_redirects", 0),
    ("send_redirects", 0),
    ("accept_source_route", 0),
    ("rp_filter", 0),
    ("arp_ignore", 1),
    ("arp_announce", 2),
)
# A forwarding interface heeds neither redirects nor router advertisements, except with accept_ra 2 (it is read back
# as 0 below that): so two settings do, and inheriting them costs nothing where four writes a link were half of a pass.
IPV6_CONF: tuple[tuple[str, int], ...] = (("forwarding", 1), ("accept_ra", 0))


@dataclass(frozen=True, slots=True)
class Sysctl(Plain):
    """A kernel setting below /proc/sys; set back by us on purge only.

    `at_least`: a limit, which may be higher, and which a network namespace may not have at all.
    """

    path: str
    value: int
    at_least: bool = field(default=False, compare=False)

    @property
    def key(self) -> Key:
        return Key("sysctl", self.path.replace("/", "."))

    @property
    def rank(self) -> int:
        return RANK_SYSCTL

    @property
    def affects(self) -> tuple[str, ...]:
        return ()

    def describe(self) -> str:
        return f"{'at least' if self.at_least else '='} {self.value}"

    def changes_from(self, observed: Sysctl) -> tuple[Change, ...]:
        if self.value == observed.value or (self.at_least and observed.value > self.value):
            return ()
        return (Change("value", str(observed.value), str(self.value)),)


@dataclass(frozen=True, slots=True)
class Vrf(Plain):
    """The VRF of one or several virtual gateways; one that somebody else made is used as it is.

    `table` is where its routes lie; where the kernel has that table in use, a new VRF gets the next free one.
    """

    name: str
    table: int
    affects: tuple[str, ...]
    up: bool = True
    kind: str = "vrf"  # of the device that bears the name
    foreign: bool = False

    @property
    def key(self) -> Key:
        return Key("vrf", self.name)

    @property
    def rank(self) -> int:
        return RANK_VRF

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return f"table {self.table}"

    def changes_from(self, observed: Vrf) -> tuple[Change, ...]:
        if observed.kind != "vrf":
            return (Change("kind", observed.kind or "a device", "a VRF"),)
        if self.up and not observed.up:
            return (Change("state", "down", "up"),)
        return ()


@dataclass(frozen=True, slots=True)
class Bond(Plain):
    """A port that is made of several: an LACP bond. Members are in order of their names.

    A bond of this name that somebody else made is used as it is; members that differ are complained of.
    """

    name: str
    members: tuple[str, ...]
    lacp_rate: str
    min_links: int
    affects: tuple[str, ...]
    lacp: bool = True  # it is a bond, and its mode is 802.3ad
    foreign: bool = False

    @property
    def key(self) -> Key:
        return Key("bond", self.name)

    @property
    def rank(self) -> int:
        return RANK_BOND

    @property
    def creation(self) -> Disruption:
        """A member is taken down to be enslaved: what uses it stands still."""
        return "link"

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return (
            f"LACP bond of {', '.join(self.members) or 'no members'},"
            f" {self.lacp_rate} rate, at least {_count(self.min_links, 'link')}; traffic on the members stops"
        )

    def changes_from(self, observed: Bond) -> tuple[Change, ...]:
        if not observed.lacp:
            return (Change("mode", "no LACP bond", "an LACP bond"),)
        changes = []
        if self.members != observed.members:
            # What already is a member stays one, and goes on carrying traffic.
            harm: Disruption = "none" if set(observed.members) & set(self.members) else "link"
            changes.append(Change("members", " ".join(observed.members), " ".join(self.members), harm))
        if not observed.foreign:
            if self.lacp_rate != observed.lacp_rate:
                # bonding.rst: only while the bond is down.
                changes.append(Change("LACP rate", observed.lacp_rate, self.lacp_rate, "link"))
            if self.min_links != observed.min_links:
                changes.append(Change("min_links", str(observed.min_links), str(self.min_links)))
        return tuple(changes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


@dataclass(frozen=True, slots=True)
class Port(Plain):
    """A connection's port: another's device, which we only bring up and give room for the VIs' MTU.

    Its MTU is raised where a VI needs it, and lowered by nobody but a purge (`exact`), which puts back what was there;
    `floor` (observed) is what other people's links on it need. `needy`: the VIs that need `mtu_min`.
    """

    name: str
    mtu_min: int
    up: bool
    affects: tuple[str, ...]
    needy: tuple[str, ...] = field(default=(), compare=False)
    exact: bool = field(default=False, compare=False)
    floor: int = field(default=0, compare=False)

    @property
    def key(self) -> Key:
        return Key("port", self.name)

    @property
    def rank(self) -> int:
        return RANK_PORT

    def describe(self) -> str:
        return f"up, MTU at least {self.mtu_min}"

    def changes_from(self, observed: Port) -> tuple[Change, ...]:
        changes = []
        if self.up and not observed.up:
            changes.append(Change("state", "down", "up"))
        if observed.mtu_min < self.mtu_min or (self.exact and observed.mtu_min > max(self.mtu_min, observed.floor)):
            # A driver resets its rings for a new MTU.
            wanted = max(self.mtu_min, observed.floor) if self.exact else self.mtu_min
            changes.append(Change("MTU", str(observed.mtu_min), str(wanted), "link"))
        return tuple(changes)


@dataclass(frozen=True, slots=True)
class Link(Plain):
    """A link of ours: an 802.1Q (or 802.1ad) subinterface, or (without a tag) a port that a VI has for itself."""

    name: str
    below: str | None  # the link that carries it; None on an untagged VI
    tag: Tag | None
    alias: str
    altname: str | None
    mtu: int
    up: bool
    conf4: tuple[tuple[str, int], ...]
    conf6: tuple[tuple[str, int], ...]
    affects: tuple[str, ...]
    foreign: bool = False  # it stands where ours should, and is not ours
    master: str | None = None  # its VRF
    control_pcp: int = 0  # the 802.1p priority of the router's own control packets
    depth: int = field(default=1, compare=False)  # how many tags deep it stands on its port

    @property
    def key(self) -> Key:
        return Key("link", self.name)

    @property
    def rank(self) -> int:
        # A link upon a link comes after it.
        return RANK_LINK + self.depth

    @property
    def parent(self) -> Key | None:
        return Key("link", self.below) if self.below is not None else None

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        if self.tag is None:
            return f"untagged, MTU {self.mtu}" + (f", VRF {self.master}" if self.master else "")
        kind = "802.1ad" if self.tag.ethertype == 0x88A8 else "802.1Q"
        return f"{kind} VLAN {self.tag.vlan_id} on {self.below}, MTU {self.mtu}{self._where()}"

    def _where(self) -> str:
        return (f", VRF {self.master}" if self.master else "") + ("" if self.up else ", down")

    def changes_from(self, observed: Link) -> tuple[Change, ...]:
        if self == observed:
            return ()
        if observed.foreign:
            return (Change("owner", "somebody else's link of this name", "dcedge's"),)
        changes = []
        if (self.below, self.tag) != (observed.below, observed.tag):
            changes.append(Change("VLAN", _place(observed), _place(self), "link", in_place=False))
        if self.mtu != observed.mtu:
            changes.append(Change("MTU", str(observed.mtu), str(self.mtu)))
        if self.master != observed.master:
            changes.append(Change("VRF", observed.master or "none", self.master or "none", "link"))
        if self.control_pcp != observed.control_pcp:
            changes.append(Change("802.1p of control packets", str(observed.control_pcp), str(self.control_pcp)))
        if self.up != observed.up:
            before, after = ("up", "down") if observed.up else ("down", "up")
            changes.append(Change("state", before, after, "link" if observed.up else "none"))
        if self.alias != observed.alias:
            changes.append(Change("alias", observed.alias, self.alias))
        if self.altname != observed.altname:
            changes.append(Change("altname", observed.altname or "", self.altname or ""))
        changes += _settings_changed("ipv4", self.conf4, observed.conf4)
        changes += _settings_changed("ipv6", self.conf6, observed.conf6)
        return tuple(changes)


def _settings_changed(
    family: str, wanted: tuple[tuple[str, int], ...], observed: tuple[tuple[str, int], ...]
) -> Iterator[Change]:
    was = dict(observed)
    for name, value in wanted:
        if was.get(name, value) != value:
            yield Change(f"{family}.{name}", str(was[name]), str(value))


def _place(link: Link) -> str:
    return f"{link.tag.vlan_id} on {link.below}" if link.tag is not None else "untagged"


@dataclass(frozen=True, slots=True)
class IpAddress(Plain):
    """An address of ours on a link."""

    link: str
    interface: Interface
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return Key("address", f"{self.interface} on {self.link}")

    @property
    def rank(self) -> int:
        return RANK_ADDRESS

    @property
    def parent(self) -> Key:
        return Key("link", self.link)

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return f"{self.interface} on {self.link}"

    def changes_from(self, observed: IpAddress) -> tuple[Change, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a static route goes: the cloud's address on a VI's link."""

    link: str
    gateway: Address

    def __str__(self) -> str:
        return f"{self.gateway} on {self.link}"


@dataclass(frozen=True, slots=True)
class LinkLocal(Plain):
    """Some IPv6 link-local address on a link, without which FRR sets no IPv6 session up there.

    The kernel makes it when the link comes up, and never again: it is ours to make only where it is lost meanwhile.
    """

    link: str
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return Key("link-local", self.link)

    @property
    def rank(self) -> int:
        return RANK_ADDRESS

    @property
    def parent(self) -> Key:
        return Key("link", self.link)

    def describe(self) -> str:
        return "an IPv6 link-local address"

    def changes_from(self, observed: LinkLocal) -> tuple[Change, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Route(Plain):
    """A static route of ours: one hop, or several that share the traffic. Hops in order of their links."""

    prefix: Prefix
    vrf: str | None
    metric: int
    hops: tuple[Hop, ...]
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        where = f" in VRF {self.vrf}" if self.vrf else ""
        return Key("route", f"{self.prefix} metric {self.metric}{where}")

    @property
    def rank(self) -> int:
        return RANK_ROUTE

    @property
    def parent(self) -> Key:
        return Key("link", self.hops[0].link)

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return "via " + ", ".join(map(str, self.hops))

    def changes_from(self, observed: Route) -> tuple[Change, ...]:
        if self.hops == observed.hops:
            return ()
        kept = set(self.hops) & set(observed.hops)
        harm: Disruption = "none" if kept else "link"
        return (Change("via", ", ".join(map(str, observed.hops)), ", ".join(map(str, self.hops)), harm),)


@dataclass(frozen=True, slots=True)
class Shaper:
    """The HTB tree that holds a rate on a link.

    Observed, a part that is missing is left out; `foreign`: on a port, the root qdisc that somebody else put there.
    """

    link: str
    tree: Tree | None
    affects: tuple[str, ...]
    foreign: str | None = None

    @property
    def key(self) -> Key:
        return Key("shaper", self.link)

    @property
    def rank(self) -> int:
        return RANK_SHAPER

    @property
    def parent(self) -> Key:
        return Key("link", self.link)

    @property
    def creation(self) -> Disruption:
        return self._exchange

    @property
    def deletion(self) -> Disruption:
        return self._exchange

    @property
    def _exchange(self) -> Disruption:
        """While the kernel exchanges a device's root qdisc it drops what is sent (dev_deactivate; 4 ms measured).

        A virtual interface's own link comes with its tree; one that others send through has their traffic.
        """
        return "link" if self.tree is not None and self.tree.shared else "none"

    def describe(self) -> str:
        if self.tree is None:
            return f"nothing on {self.link}"
        kinds = dict.fromkeys(leaf.queue.kind for leaf in self.tree.leaves if leaf.queue is not None)
        return f"{_rate(self.tree.classes[:1])} on {self.link}, {', '.join(kinds) or 'no queue'}"

    def changes_from(self, observed: Shaper) -> tuple[Change, ...]:
        if observed.foreign is not None:
            return (Change("owner", observed.foreign, "dcedge's"),)
        mine, theirs = self.tree, observed.tree
        if mine == theirs or mine is None:
            return ()
        if theirs is None or mine.default != theirs.default:
            return (Change("tree", "another" if theirs is not None else "", "dcedge's"),)
        changes = list(_class_changes(mine.classes, theirs.classes))
        was = {leaf.minor: leaf for leaf in theirs.leaves}
        for leaf in mine.leaves:
            changes += _leaf_changes(was.get(leaf.minor, Leaf(leaf.minor, None, leaf.cut_bytes)), leaf)
        if mine.classifier != theirs.classifier:
            changes.append(Change("control packets", "sorted otherwise" if theirs.classifier else "", "sorted"))
        return tuple(changes)


@dataclass(frozen=True, slots=True)
class Ingress(Plain):
    """What holds the rate of what comes in by a link: a device of its own (ifb) with a tree, and the way there.

    `redirected`: all that comes in by the link goes through the device.
    """

    link: str
    device: str
    tree: Tree | None
    redirected: bool
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return Key("ingress", self.link)

    @property
    def rank(self) -> int:
        return RANK_INGRESS

    @property
    def parent(self) -> None:
        """The device outlives the link."""
        return None

    def describe(self) -> str:
        return f"{_rate(self.tree.classes[:1] if self.tree is not None else ())} on what comes in by {self.link}"

    def changes_from(self, observed: Ingress) -> tuple[Change, ...]:
        mine, theirs = (Shaper(self.device, one.tree, ()) for one in (self, observed))
        changes = mine.changes_from(theirs)
        if self.redirected != observed.redirected:
            changes += (Change(f"what comes in by {self.link}", "unshaped", f"through {self.device}"),)
        return changes


def _rate(classes: tuple[HtbClass, ...]) -> str:
    return format_rate(classes[0].rate_bytes * 8) if classes else "no class"


def _class_changes(mine: tuple[HtbClass, ...], theirs: tuple[HtbClass, ...]) -> Iterator[Change]:
    """What differs between classes: the first one's rate is what was ordered, the others follow from it."""
    was = {htb.minor: htb for htb in theirs}
    first = mine[0]
    ordered = was.get(first.minor)
    if ordered is None or ordered.rate_bytes != first.rate_bytes:
        yield Change("rate", _rate((ordered,) if ordered is not None else ()), _rate(mine))
        return
    for htb in mine:
        before = was.pop(htb.minor, None)
        if before == htb:
            continue
        where = f"class {htb.minor:x} " if htb is not first else ""
        if before is None:
            yield Change(f"class {htb.minor:x}", "", format_rate(htb.rate_bytes * 8))
            continue
        for field_ in fields(htb):
            old, new = getattr(before, field_.name), getattr(htb, field_.name)
            if old != new:
                yield Change(where + field_.name.replace("_", " "), str(old), str(new))
    for htb in was.values():
        yield Change(f"class {htb.minor:x}", format_rate(htb.rate_bytes * 8), "")


def _leaf_changes(before: Leaf, after: Leaf) -> Iterator[Change]:
    """What differs between two leaves; another kind of queue throws away what the old one held."""
    old, new = before.queue, after.queue
    if before.cut_bytes != after.cut_bytes:
        yield Change("packets cut beyond", str(before.cut_bytes or ""), str(after.cut_bytes or ""))
    if old == new:
        return
    if old is None or new is None or old.kind != new.kind:
        yield Change("queue", old.kind if old else "", new.kind if new else "")
        return
    was, will = dict(old.settings), dict(new.settings)
    differing = [name for name in will if was.get(name) != will[name]]
    yield Change(
        f"{new.kind} {', '.join(differing)}",
        ", ".join(str(was.get(name, "")) for name in differing),
        ", ".join(str(will[name]) for name in differing),
    )
