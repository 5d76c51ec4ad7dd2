"""Thousands of ports, each with a fibre of its own to the cloud, and what a process on them costs."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from tests.lab.netns import Namespace

_FIRST = int(IPv4Address("172.16.0.0"))


def addresses(number: int) -> tuple[str, str]:
    """Customer's and cloud's address on that port, a /30."""
    base = _FIRST + 4 * number
    return str(IPv4Address(base + 2)), str(IPv4Address(base + 1))


def hardware_address(end: int, number: int) -> str:
    """A locally administered address; `end` 1 is the customer's, 2 the cloud's."""
    return f"02:00:00:0{end}:{number >> 8:02x}:{number & 255:02x}"


def lay_ports(edge: Namespace, cloud: Namespace, numbers: Iterable[int], *, customer_addresses: bool = True) -> None:
    """Ports e0, e1, ... on the edge, their fibres to c0, c1, ... of the cloud, which has its addresses.

    IPv6 is off, and each end knows the other's hardware address: the machine's neighbour table is one for all
    namespaces, and too small for thousands.
    """
    numbers = list(numbers)
    for namespace in (edge, cloud):
        namespace.sysctl(ipv6__conf__all__disable_ipv6=1, ipv6__conf__default__disable_ipv6=1)
    edge.ip(
        *(
            f"link add name e{n} address {hardware_address(1, n)} type veth "
            f"peer name c{n} address {hardware_address(2, n)} netns {cloud.name}"
            for n in numbers
        )
    )
    for namespace, letter, own, other in ((edge, "e", 1, 2), (cloud, "c", 2, 1)):
        lines = []
        for n in numbers:
            ends = addresses(n)
            if namespace is cloud or customer_addresses:
                lines.append(f"address add {ends[own - 1]}/30 dev {letter}{n}")
            lines.append(f"link set dev {letter}{n} up")
            lines.append(
                f"neighbour add {ends[other - 1]} lladdr {hardware_address(other, n)} dev {letter}{n} nud permanent"
            )
        namespace.ip(*lines)


def cpu_seconds(pid: int) -> float:
    """What a process's threads have spent on a processor, in user and kernel mode (proc_pid_schedstat(5))."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
