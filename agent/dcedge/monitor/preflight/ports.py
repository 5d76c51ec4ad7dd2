"""The ports: offloads that hurt, and which processors take their interrupts."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from array import array
from collections.abc import Iterator

from pyroute2.ethtool.ioctl import ETHTOOL_GFLAGS, ETHTOOL_GTXCSUM, SIOCETHTOOL

from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_ETHTOOL_GPAUSEPARAM = 0x12  # linux/ethtool.h; pyroute2 has no name for it
_ETH_FLAG_LRO = 1 << 15


def present(router: PreflightInput) -> Iterator[CheckResult]:
    """Every port of the order is there."""
    for port in router.ports:
        if port not in router.indices:
            yield CheckResult(f"port {port}", "wrong", "does not exist on this router", "ip -br link  # what there is")


def offloads(router: PreflightInput) -> Iterator[CheckResult]:
    """No port merges packets in hardware: what is forwarded would leave as packets that nobody sent."""
    for port in router.ports:
        if port not in router.indices:
            continue
        merges = _merges(port)
        if merges:
            text = "merges received packets in hardware (LRO): forwarded, they are too long, and the shaper miscounts"
            yield CheckResult(f"port {port}", "warning", text, f"ethtool -K {port} lro off")
        elif merges is not None:
            yield CheckResult(f"port {port}", "good", "merges no packets in hardware (LRO is off)")


def _merges(port: str) -> bool | None:
    """Whether large receive offload is on; None where the driver does not say."""
    said = _asked(port, ETHTOOL_GFLAGS, 1)
    return bool(said[0] & _ETH_FLAG_LRO) if said is not None else None


def checksums(router: PreflightInput) -> Iterator[CheckResult]:
    """The card works out what packets end with: without that the kernel cuts and sums each of them by itself."""
    for port in router.ports:
        said = _asked(port, ETHTOOL_GTXCSUM, 1) if port in router.indices else None
        if said is not None and not said[0]:
            text = "sends without checksum offload: super-packets are cut and summed by the processor"
            yield CheckResult(f"port {port}", "warning", text, f"ethtool -K {port} tx on")


def flow_control(router: PreflightInput) -> Iterator[CheckResult]:
    """No switch can stop a port by pause frames (IEEE 802.3, annex 31B), control packets and all."""
    for port in router.ports:
        said = _asked(port, _ETHTOOL_GPAUSEPARAM, 3) if port in router.indices else None
        if said is not None and said[1]:
            text = "heeds pause frames: a switch that is busy stops it, and BFD with it"
            yield CheckResult(f"port {port}", "warning", text, f"ethtool -A {port} autoneg off rx off tx off")


def _asked(port: str, command: int, count: int) -> tuple[int, ...] | None:
    """So many numbers that the driver has behind a command (struct ethtool_value and its like); None where none."""
    numbers = array("I", [command, *[0] * count])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("=16sQ16x", port.encode(), numbers.buffer_info()[0]))
        except OSError:
            return None
    return tuple(numbers[1:])


def interrupts(router: PreflightInput) -> Iterator[CheckResult]:
    """A port's queues are served by more than one processor, where there are several of both."""
    processors = os.cpu_count() or 1
    for port in router.ports:
        numbers = router.host.names(f"/sys/class/net/{port}/device/msi_irqs")
        served = {
            cpus
            for number in numbers
            if (cpus := router.host.read(f"/proc/irq/{number}/effective_affinity_list")) is not None
        }
        if len(numbers) > 1 and processors > 1 and len(served) == 1:
            text = f"all {len(numbers)} interrupts go to processor {served.pop()} of {processors}"
            yield CheckResult(f"port {port}", "warning", text, "systemctl enable --now irqbalance")
        elif served:
            yield CheckResult(f"port {port}", "good", f"its interrupts go to processors {', '.join(sorted(served))}")
