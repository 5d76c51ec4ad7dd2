"""What the router is besides dcedge, as far as what we make has to fit it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from dcedge.kernel import proc_sys
from dcedge.kernel.for_all import NOTHING_SET, ForAll
from dcedge.kernel.link.view import link_at
from dcedge.kernel.route.view import advertised_defaults
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Family

IPV6_CONF_FOLDER = "net/ipv6/conf"
_ACCEPTED = {1, 2}  # accept_ra: by a host, by a router too


@dataclass(frozen=True, slots=True)
class Host:
    """`ipv6`: this kernel has it. `advertised`: the links by which the kernel has a default route from a router's
    advertisement (RFC 4861), which it gives up on a link that forwards, but where accept_ra is 2; and those by which
    it had one before, which after a reboot comes later than we do. `speeds`: bits a second of the order's ports that
    have a wire, by their own names; while one is down, what it had."""

    for_all: ForAll = NOTHING_SET
    ipv6: bool = True
    advertised: tuple[str, ...] = ()
    speeds: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, sock: RouteSocket, settings_before: Iterable[str] = ()) -> Host:
        """As it is now; `settings_before`: the paths of the settings that dcedge changed. Raises KernelError."""
        if not proc_sys.has_ipv6():
            return cls(ForAll.read(), ipv6=False)
        now = (link_at(sock, index) for index in sorted(advertised_defaults(sock)))
        before = (PurePosixPath(path).parent.name for path in sorted(settings_before) if is_accept_ra(path))
        links = dict.fromkeys((*(link.name for link in now if link is not None), *before))
        # Elsewhere somebody else reads the advertisements, such as systemd-networkd.
        heeding = tuple(link for link in links if proc_sys.read(accept_ra(link)) in _ACCEPTED)
        return cls(ForAll.read(), ipv6=True, advertised=heeding)


def accept_ra(link: str) -> str:
    """The path of the setting that says whether a link heeds router advertisements."""
    return f"{IPV6_CONF_FOLDER}/{link}/accept_ra"


def not_forwarded() -> frozenset[Family]:
    """The families that this router does not forward now."""
    settings: dict[Family, str] = {"ipv4": "net/ipv4/ip_forward", "ipv6": f"{IPV6_CONF_FOLDER}/all/forwarding"}
    return frozenset(family for family, path in settings.items() if proc_sys.read(path) == 0)


def is_accept_ra(path: str) -> bool:
    """Whether a path is such a setting's of one link."""
    return PurePosixPath(path).match(f"{IPV6_CONF_FOLDER}/*/accept_ra") and len(PurePosixPath(path).parts) == 5


PLAIN_HOST = Host()
