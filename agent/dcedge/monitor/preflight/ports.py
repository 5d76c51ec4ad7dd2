"""The ports: offloads that hurt, and which processors take their interrupts."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from array import array
from collections.abc import Iterator

from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_SIOCETHTOOL, _ETHTOOL_GFLAGS = 0x8946, 0x25  # linux/sockios.h, linux/ethtool.h
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
    value = array("I", [_ETHTOOL_GFLAGS, 0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("=16sQ16x", port.encode(), value.buffer_info()[0]))
        except OSError:
            return None
    return bool(value[1] & _ETH_FLAG_LRO)


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
