"""Who or what is in the way of an operation that the kernel refuses: its own words name neither.

Looks only, and once a pass, however many operations fail for the same reason.
"""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from dcedge.kernel import proc_sys
from dcedge.kernel.address.resource import IpAddress, LinkLocal
from dcedge.kernel.dump import NO_SUCH_FAMILY
from dcedge.kernel.link.resource import Link
from dcedge.kernel.link.view import LinkView, dump_links
from dcedge.kernel.route.resource import Route
from dcedge.kernel.vrf.resource import Vrf
from dcedge.netlink.socket import RouteSocket
from dcedge.order.resolve import Tag
from dcedge.plan.resource import Resource

NAMESPACES = Path("/run/netns")  # ip-netns(8)
_IP_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"
_LOOK_SECONDS, _LOOKS_SECONDS = 2.0, 5.0


class Culprits:
    """What one network namespace has in the way."""

    def __init__(self, sock: RouteSocket) -> None:
        self._sock = sock

    def of(self, resource: Resource, refusal: int) -> str | None:
        """What keeps a resource from being made, for the errno that the kernel gave; None where that cannot be told."""
        match resource:
            case Link() if refusal == errno.EEXIST:
                return self._name_taken(resource.name) or self._vlan_taken(resource)
            case Vrf() if refusal == errno.EEXIST:
                return self._name_taken(resource.name)
            case IpAddress() | LinkLocal() | Route() if refusal in NO_SUCH_FAMILY and not proc_sys.has_ipv6():
                return proc_sys.NO_IPV6
            case IpAddress() if refusal == errno.EACCES and resource.interface.version == 6:
                return _ipv6_is_off(resource.link)
        return None

    def altname_taken(self, resource: Resource) -> str | None:
        """Who has the alternative name that is wanted for a link; None where nobody else does."""
        if not isinstance(resource, Link) or (altname := resource.altname) is None:
            return None
        owner = next((other for other in self._links.values() if altname in (other.name, *other.altnames)), None)
        if owner is None or owner.name == resource.name:
            return None
        gone = f"ip link property del dev {owner.name} altname {altname}"
        return f"the name {altname} belongs to {owner.name}, which is not dcedge's: `{gone}`"

    @cached_property
    def _links(self) -> Mapping[int, LinkView]:
        return {link.index: link for link in dump_links(self._sock)}

    def _name_taken(self, name: str) -> str | None:
        owner = next((link for link in self._links.values() if name in link.altnames), None)
        if owner is None:
            return None
        return f"{name} is an alternative name of {owner.name}: `ip link property del dev {owner.name} altname {name}`"

    def _vlan_taken(self, wanted: Link) -> str | None:
        below = next((link for link in self._links.values() if link.name == wanted.below), None)
        if wanted.tag is None or below is None:
            return None
        what = f"VLAN {wanted.tag.vlan_id} on {below.name}"
        for link in self._links.values():
            if link.below == below.index and link.tag == wanted.tag:
                return _taken_by(link.name, wanted.tag, below.name)
        for namespace, vlans in self._elsewhere.items():
            if (name := vlans.get((below.index, wanted.tag))) is not None:
                return f"{what} is {name} in network namespace {namespace}: remove it there, or order another VLAN"
        look = "ip -all netns exec ip -d link show type vlan"
        return f"{what} is in use in another network namespace: find it with `{look}`, or with `lsns -t net`"

    @cached_property
    def _elsewhere(self) -> Mapping[str, Mapping[tuple[int, Tag], str]]:
        """The VLAN links in the named network namespaces, by their port's index here; none where that takes root."""
        ip = shutil.which("ip", path=_IP_PLACES)
        if ip is None or not NAMESPACES.is_dir():
            return {}
        found, deadline = {}, time.monotonic() + _LOOKS_SECONDS
        for namespace in sorted(path.name for path in NAMESPACES.iterdir()):
            if time.monotonic() > deadline:
                break
            found[namespace] = dict(_vlans_of(ip, namespace))
        return found


def _vlans_of(ip: str, namespace: str) -> Iterator[tuple[tuple[int, Tag], str]]:
    words = (ip, "-json", "-details", "-netns", namespace, "link", "show", "type", "vlan")
    try:
        done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=_LOOK_SECONDS, check=False)
        links: Any = json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else []
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return
    for link in links:
        data = link.get("linkinfo", {}).get("info_data", {})
        # The port is in another network namespace than the link: `ip` has its index, and no name.
        if "link_index" in link and "id" in data:
            ethertype = 0x88A8 if str(data.get("protocol")).lower() == "802.1ad" else 0x8100
            yield (int(link["link_index"]), Tag(int(data["id"]), ethertype)), str(link["ifname"])


def _ipv6_is_off(link: str) -> str | None:
    for place, whose in ((link, "it"), ("all", "every link")):
        if proc_sys.read(f"net/ipv6/conf/{place}/disable_ipv6") == 1:
            setting = f"net/ipv6/conf/{place}/disable_ipv6"
            return f"IPv6 is switched off on {whose}: {setting} is 1 (`sysctl -w {setting}=0`; see /etc/sysctl.d)"
    return None


def vlans_taken(links: Mapping[int, LinkView], wanted: Iterable[Resource]) -> Iterator[str]:
    """The VLANs of links that are still to be made which links of others have, in words."""
    names = {link.name for link in links.values()}
    places = {
        (links[link.below].name, link.tag): link.name
        for link in links.values()
        if link.tag is not None and link.below in links
    }
    for link in wanted:
        if isinstance(link, Link) and link.tag is not None and link.below is not None and link.name not in names:
            other = places.get((link.below, link.tag))
            if other is not None:
                yield _taken_by(other, link.tag, link.below)


def _taken_by(other: str, tag: Tag, port: str) -> str:
    return f"VLAN {tag.vlan_id} on {port} is {other} already, which is not dcedge's: remove it, or order another VLAN"
