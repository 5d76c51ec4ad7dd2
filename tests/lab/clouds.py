"""The cloud's side of the testbed, by other people's routing software: BIRD 2 and FRR.

An exchange holds the cloud ends of the fibres. Each cloud (one virtual gateway with its VPC) is a namespace
of its own: for each virtual interface it gets the VLAN off the fibre, speaks BGP on it, and has a host behind
it. Nothing here comes from dcedge: a mistake of its renderer cannot cancel itself out.
"""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network

from tests.lab.frr import Frr
from tests.lab.netns import AHEAD, Fibre, Namespace, Port, Workspace, connect_host, end, execute, nodad
from tests.lab.other_frr import BIRD_3, BIRD_3_CLIENT
from tests.lab.wait import PATIENCE_SECONDS, until

BGP_PORT = 179
HEADER_BYTES = 14  # of Ethernet (IEEE 802.3, 3.1.1), which an ingress qdisc does not count by itself
POLICER_SECONDS = 0.004  # how much of its rate a provider's policer takes at once
BIRD_STATES = {"up": "Established"}  # BIRD's word for it in `show protocols`


@dataclass(frozen=True)
class Peer:
    """One BGP session as the cloud sees it: its own address with prefix length, and the customer's."""

    cloud: str
    customer: str

    @property
    def ipv4(self) -> bool:
        """Whether it is the IPv4 session."""
        return ip_address(self.customer).version == 4

    @property
    def address(self) -> str:
        """The cloud's address alone."""
        return str(ip_interface(self.cloud).ip)


@dataclass(frozen=True)
class Attachment:
    """The cloud's end of one virtual interface: where it comes in, and how BGP is spoken on it."""

    name: str  # also its interface's name in the cloud's namespace
    fibre: Fibre
    vlan: int  # 0: untagged, and then the fibre's cloud end must lie in the cloud's own namespace
    peers: tuple[Peer, ...]
    customer_asn: int
    password: str | None = None
    bfd: bool = False
    keepalive: int = 30
    hold: int = 90
    bfd_interval: int = 300  # ms
    bfd_multiplier: int = 3
    prefix_cap: int | None = None  # one prefix more and the session ends: Cease, maximum number of prefixes (RFC 4486)
    hops: int = 1  # 1: a plain eBGP session, TTL 1
    ttl_security: bool = False  # takes nothing whose TTL is below 255 (RFC 5082)
    trunk: str | None = None  # what carries the VLAN in the exchange; None: the fibre's cloud end itself
    outer_tags: int = 0
    mtu: int = 1500
    offers_more: bool = False  # add-path (RFC 7911) and extended messages (RFC 8654)
    policed_bps: int | None = None  # what comes in above it is dropped, counted as Ethernet frames without tag and FCS

    @property
    def tags(self) -> int:
        """802.1Q tags on each of its frames."""
        return self.outer_tags + (1 if self.vlan else 0)


@dataclass(frozen=True)
class Announcement:
    """What a customer's announcement of one prefix says."""

    as_path: tuple[int, ...]
    communities: frozenset[str]  # high:low (RFC 1997)
    med: int | None


class Cloud(ABC):
    """A virtual gateway: its router in one namespace, a host of the VPC in another.

    `networks` are the VPC's prefixes: the router has the first address of each on its link to the host, the
    host the tenth.
    """

    def __init__(self, work: Workspace, name: str, asn: int, networks: Iterable[str], router_id: str) -> None:
        self.name = name
        self.asn = asn
        self.networks = tuple(ip_network(network) for network in networks)
        self.router_id = router_id
        self.attachments: dict[str, Attachment] = {}
        # The communities by which a customer ranks his paths, and the local preference that each gets.
        self.heeds: Mapping[str, int] = {}
        self.label = f"{work.token}-{name}"
        self.folder = work.folder / name
        self.folder.mkdir()
        self.router = work.namespace(name)
        self.host = work.namespace(f"{name}-host")
        work.at_end(self.stop)
        self.router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        connect_host(self.router, "vpc", self.host, self.networks)
        for namespace in (self.router, self.host):
            namespace.popen(*AHEAD, "iperf3", "--server", log=self.folder / "iperf3.log")

    def host_address(self, version: int) -> str:
        """The address of the host behind the cloud, of IP version 4 or 6."""
        return next(str(network[10]) for network in self.networks if network.version == version)

    def attach(self, attachment: Attachment) -> None:
        """Take a virtual interface in: VLAN, addresses; BGP follows with `start` or `configure`."""
        cloud_end = attachment.fibre.cloud
        device = attachment.name
        if attachment.vlan:
            trunk = attachment.trunk or cloud_end.name
            cloud_end.namespace.ip(
                f"link add link {trunk} name {device} netns {self.router.name} type vlan id {attachment.vlan}"
            )
        else:
            if cloud_end.namespace is not self.router:
                raise ValueError(f"{device} is untagged: its fibre must end in {self.router.name}")
            self.router.ip(f"link set dev {cloud_end.name} down", f"link set dev {cloud_end.name} name {device}")
        # Redirects would tell the edge to bypass its gateway where two VIs share a fibre.
        # A cut takes the VLAN's device down with the fibre's end, and IPv6 addresses with that unless told.
        self.router.sysctl(
            **{f"ipv4__conf__{device}__send_redirects": 0, f"ipv6__conf__{device}__keep_addr_on_down": 1}
        )
        self.router.ip(
            f"link set dev {device} mtu {attachment.mtu}",
            f"link set dev {device} up",
            *(f"address add {peer.cloud} dev {device}{nodad(ip_address(peer.customer))}" for peer in attachment.peers),
        )
        self.attachments[attachment.name] = attachment
        self._guard(attachment)

    def _guard(self, attachment: Attachment) -> None:
        """Drop what the port would: the too fast, the too long, BGP with too low a TTL (RFC 5082) and, several hops
        away, what has no TTL left.
        """
        device = attachment.name
        rules = []
        if attachment.ttl_security:
            # BIRD's and FRR's own checks begin only after they have accepted a connection.
            bgp = f"filter add dev {device} ingress protocol ip prio 1 u32 match ip protocol 6 0xff"
            rules.append(f"{bgp} match u8 255 0xff at 8 action ok")
            rules += [f"{bgp} match ip {port} {BGP_PORT} 0xffff action drop" for port in ("dport", "sport")]
        if attachment.hops > 1:
            # The router is not the device at the fibre's end, which forwards nothing that has a TTL of 1.
            rules.append(f"filter add dev {device} ingress prio 1 protocol ip u32 match u8 1 0xff at 8 action drop")
        if attachment.policed_bps is not None:
            longest = attachment.mtu + HEADER_BYTES
            burst = max(2 * longest, int(attachment.policed_bps / 8 * POLICER_SECONDS))
            police = f"rate {attachment.policed_bps}bit burst {burst}b mtu {longest} overhead {HEADER_BYTES}"
            verdict = "conform-exceed drop/ok"
            rules.append(f"filter add dev {device} ingress prio 2 matchall action police {police} {verdict}")
        execute("tc", "-n", self.router.name, "qdisc", "delete", "dev", device, "ingress", check=False)
        if rules:
            text = "\n".join([f"qdisc add dev {device} ingress", *rules])
            execute("tc", "-n", self.router.name, "-batch", "-", text=f"{text}\n")

    def detach(self, name: str) -> None:
        """Take a virtual interface out: BGP, addresses, VLAN."""
        gone = self.attachments.pop(name)
        self.configure()
        if gone.vlan:
            self.router.ip(f"link delete dev {name}")

    def change(self, name: str, **fields: object) -> None:
        """Change how BGP is spoken on a virtual interface (password, ASN, timers) and bring it into force."""
        before = self.attachments[name]
        after = self.attachments[name] = replace(before, **fields)  # type: ignore[arg-type]
        if after.ttl_security != before.ttl_security:
            self._guard(after)
        self._renew(name)

    def _renew(self, name: str) -> None:
        """Bring one changed virtual interface into force."""
        self.configure()

    @abstractmethod
    def start(self) -> None:
        """Start the routing daemons with what is attached."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the routing daemons; fine when they are not running."""

    @abstractmethod
    def configure(self) -> None:
        """Bring what is attached now into force in the running daemons."""

    @abstractmethod
    def state(self, customer: str) -> str:
        """The BGP state of the session with a customer's address, in RFC 4271's words where up."""

    @abstractmethod
    def routes(self, customer: str) -> set[str]:
        """The prefixes that the customer's address has announced and this cloud uses or could use."""

    @abstractmethod
    def announcement(self, customer: str, prefix: str) -> Announcement | None:
        """What the customer's address says of a prefix; None where it does not announce it."""

    def wait_established(self, *names: str, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until all sessions (of the named attachments, or of all) are established."""
        customers = [peer.customer for name in names or self.attachments for peer in self.attachments[name].peers]

        def missing() -> dict[str, str]:
            states = {customer: self.state(customer) for customer in customers}
            return {customer: state for customer, state in states.items() if state != "Established"}

        until(f"BGP at {self.name}", missing, timeout, accept=lambda down: not down)

    def wait_route(self, customer: str, prefix: str, *, present: bool = True) -> None:
        """Wait until a customer's announcement of `prefix` is here (or gone)."""
        until(
            f"{prefix} from {customer} at {self.name} to be {'there' if present else 'gone'}",
            lambda: self.routes(customer),
            accept=lambda routes: (prefix in routes) is present,
        )


class BirdCloud(Cloud):
    """A cloud whose router runs BIRD 2."""

    program, client = "bird", "birdc"
    _daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "bird.conf").write_text(self._config())
        words = [*AHEAD, self.program, "-f", "-c", self._file("conf"), "-s", self._file("ctl")]
        self._daemon = self.router.popen(*words, log=self.folder / "bird.log")
        until(
            "BIRD to answer",
            lambda: self._birdc("show status", check=False),
            accept=lambda said: "up" in said,
        )

    def stop(self) -> None:
        if self._daemon is not None:
            end(self._daemon)
            self._daemon = None

    def configure(self) -> None:
        (self.folder / "bird.conf").write_text(self._config())
        said = self._birdc("configure")
        if "Reconfigur" not in said:
            raise AssertionError(f"BIRD refused its configuration:\n{said}")

    def state(self, customer: str) -> str:
        protocol = self._protocols()[customer]
        for line in self._birdc("show protocols").splitlines():
            words = line.split()
            if words and words[0] == protocol:
                return BIRD_STATES.get(words[3], words[5] if len(words) > 5 else words[3])
        return "absent"

    def routes(self, customer: str) -> set[str]:
        said = self._birdc(f"show route protocol {self._protocols()[customer]}")
        first_words = (line.split()[0] for line in said.splitlines() if line.strip())
        return {word for word in first_words if "/" in word}

    def announcement(self, customer: str, prefix: str) -> Announcement | None:
        said = self._birdc(f"show route all {prefix} protocol {self._protocols()[customer]}")
        told = dict(re.findall(r"^\s*BGP\.(\w+): ?(.*)$", said, re.MULTILINE))
        if "as_path" not in told:
            return None
        return Announcement(
            tuple(map(int, told["as_path"].split())),
            frozenset(f"{high}:{low}" for high, low in re.findall(r"\((\d+),(\d+)\)", told.get("community", ""))),
            int(told["med"]) if "med" in told else None,
        )

    def shut(self, name: str, why: str) -> None:
        """Shut a virtual interface's sessions down, with a word for the customer (RFC 9003)."""
        for protocol in self._protocols_of(name):
            self._birdc(f'disable {protocol} "{why}"')

    def open(self, name: str) -> None:
        """Take a virtual interface's sessions up again."""
        for protocol in self._protocols_of(name):
            self._birdc(f"enable {protocol}")

    def _protocols_of(self, name: str) -> list[str]:
        return [self._protocols()[peer.customer] for peer in self.attachments[name].peers]

    def _file(self, suffix: str) -> str:
        return str(self.folder / f"bird.{suffix}")

    def _birdc(self, words: str, *, check: bool = True) -> str:
        return self.router.run(
            self.client,
            "-r" if check and words.startswith("show") else "-v",
            "-s",
            self._file("ctl"),
            *words.split(),
            check=check,
        ).stdout

    def _protocols(self) -> dict[str, str]:
        return {
            peer.customer: f"{name.replace('-', '_')}_{4 if peer.ipv4 else 6}"
            for name, attachment in self.attachments.items()
            for peer in attachment.peers
        }

    def _config(self) -> str:
        networks = ", ".join(str(network) for network in self.networks)
        families = {
            version: ", ".join(str(network) for network in self.networks if network.version == version)
            for version in (4, 6)
        }
        parts = [
            f"# The VPC: {networks}",
            f"router id {self.router_id};",
            f'log "{self._file("txt")}" all;',
            "protocol device { scan time 1; }",
            "protocol direct { ipv4; ipv6; }",
            # BIRD 3 at times leaves a route in the kernel that is no longer its best, until it next compares the two.
            "protocol kernel { scan time 1; ipv4 { export where source = RTS_BGP; import none; }; }",
            "protocol kernel { scan time 1; ipv6 { export where source = RTS_BGP; import none; }; }",
            "protocol bfd { }",
        ]
        protocols = self._protocols()
        for attachment in self.attachments.values():
            for peer in attachment.peers:
                version = 4 if peer.ipv4 else 6
                takes = _limit(attachment) + ("add paths on; " if attachment.offers_more else "")
                vpc = f"net ~ [ {families[version]} ]" if families[version] else "false"
                lines = [
                    f"protocol bgp {protocols[peer.customer]} {{",
                    f"  local {peer.address} as {self.asn};",
                    f"  neighbor {peer.customer} as {attachment.customer_asn};",
                    f"  hold time {attachment.hold}; keepalive time {attachment.keepalive};",
                    "  connect delay time 1; connect retry time 2; error wait time 1, 4;",
                    f"  ipv{version} {{ import all; {takes}export where source = RTS_DEVICE && {vpc}; }};",
                    f"  multihop {attachment.hops};" if attachment.hops > 1 else "  direct;",
                ]
                if attachment.password is not None:
                    lines.append(f'  password "{attachment.password}";')
                if attachment.bfd:
                    times = f"interval {attachment.bfd_interval} ms; multiplier {attachment.bfd_multiplier};"
                    lines.append(f"  bfd {{ {times} }};")
                if attachment.ttl_security:
                    lines.append("  ttl security on;")
                if attachment.offers_more:
                    lines.append("  enable extended messages on;")
                parts.append("\n".join([*lines, "}"]))
        return "\n".join(parts) + "\n"


class Bird3Cloud(BirdCloud):
    """A cloud whose router runs BIRD 3, where the lab has it."""

    program, client = str(BIRD_3), str(BIRD_3_CLIENT)


def _limit(attachment: Attachment) -> str:
    return f"import limit {attachment.prefix_cap} action restart; " if attachment.prefix_cap is not None else ""


class FrrCloud(Cloud):
    """A cloud whose router runs FRR, configured by hand-written text."""

    def __init__(self, work: Workspace, name: str, asn: int, networks: Iterable[str], router_id: str) -> None:
        super().__init__(work, name, asn, networks, router_id)
        self.frr = Frr(self.label, self.router.name)

    def start(self) -> None:
        self.frr.start(self._config())

    def stop(self) -> None:
        self.frr.stop()

    def configure(self) -> None:
        self.frr.load(f"no router bgp {self.asn}\n{self._config()}")

    def _renew(self, name: str) -> None:
        # The neighbour anew, since FRR would keep what the text no longer says; the others are told what they have.
        gone = "".join(f" no neighbor {peer.customer}\n" for peer in self.attachments[name].peers)
        self.frr.load(f"router bgp {self.asn}\n{gone}exit\n{self._config()}")

    def state(self, customer: str) -> str:
        facts = self.frr.json(f"show bgp neighbors {customer} json")
        return str(facts.get(customer, {}).get("bgpState", "absent"))

    def routes(self, customer: str) -> set[str]:
        family = "ipv4" if ip_address(customer).version == 4 else "ipv6"
        # `routes` are those that passed the inbound policy, which refuses none.
        return set(self.frr.json(f"show bgp {family} unicast neighbors {customer} routes json").get("routes", {}))

    def announcement(self, customer: str, prefix: str) -> Announcement | None:
        family = "ipv4" if ip_address(customer).version == 4 else "ipv6"
        for path in self.frr.json(f"show bgp {family} unicast {prefix} json").get("paths", ()):
            if path["peer"]["peerId"] == customer:
                return Announcement(
                    tuple(map(int, path["aspath"]["string"].split())),
                    frozenset(path.get("community", {}).get("string", "").split()),
                    path.get("metric"),
                )
        return None

    def _heeding(self) -> list[str]:
        lines = []
        for number, (community, preference) in enumerate(self.heeds.items(), 1):
            lines += [
                f"bgp community-list standard HEED-{number} permit {community}",
                f"route-map HEED permit {number}",
                f" match community HEED-{number}",
                f" set local-preference {preference}",
                "exit",
            ]
        return [*lines, "route-map HEED permit 65535", "exit"]

    def _config(self) -> str:
        lines = [
            *self._heeding(),
            f"router bgp {self.asn}",
            f" bgp router-id {self.router_id}",
            " no bgp ebgp-requires-policy",
            " no bgp default ipv4-unicast",
        ]
        for attachment in self.attachments.values():
            for peer in attachment.peers:
                neighbour = f" neighbor {peer.customer}"
                lines += [
                    f"{neighbour} remote-as {attachment.customer_asn}",
                    f"{neighbour} description {attachment.name}",
                    f"{neighbour} timers {attachment.keepalive} {attachment.hold}",
                    f"{neighbour} timers connect 1",
                ]
                if attachment.password is not None:
                    lines.append(f"{neighbour} password {attachment.password}")
                if attachment.hops > 1:
                    lines.append(f"{neighbour} ebgp-multihop {attachment.hops}")
                if attachment.ttl_security:
                    lines.append(f"{neighbour} ttl-security hops {attachment.hops}")
                if attachment.bfd:
                    interval = attachment.bfd_interval
                    lines.append(f"{neighbour} bfd {attachment.bfd_multiplier} {interval} {interval}")
        for version in (4, 6):
            lines.append(f" address-family ipv{version} unicast")
            lines += [f"  network {network}" for network in self.networks if network.version == version]
            for attachment in self.attachments.values():
                for peer in attachment.peers:
                    if peer.ipv4 == (version == 4):
                        lines.append(f"  neighbor {peer.customer} activate")
                        lines.append(f"  neighbor {peer.customer} route-map HEED in")
                        if attachment.prefix_cap is not None:
                            lines.append(f"  neighbor {peer.customer} maximum-prefix {attachment.prefix_cap}")
            lines.append(" exit-address-family")
        return "\n".join([*lines, "exit"]) + "\n"


class Exchange:
    """Where the cloud ends of the fibres lie: the trunks, with all virtual interfaces' tags on them."""

    def __init__(self, work: Workspace) -> None:
        self.namespace: Namespace = work.namespace("exchange")

    def port(self, connection: str) -> Port:
        """The cloud's end of a connection's fibre."""
        return Port(self.namespace, connection)
