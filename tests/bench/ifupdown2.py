"""Another manager of interfaces, which makes the links and addresses of the kernel bench's order: ifupdown2."""

from __future__ import annotations

import subprocess
import time
from ipaddress import IPv4Address
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IFUPDOWN2 = ROOT / "build" / "ifupdown2"  # Debian's package, unpacked


def ifupdown2_text(count: int) -> str:
    """The links and addresses of `order_text` as interfaces(5) has them."""
    lines = []
    for i in range(count):
        lines += [
            f"auto eth1.{i + 1}",
            f"iface eth1.{i + 1}",
            "    vlan-raw-device eth1",
            f"    vlan-id {i + 1}",
            "    mtu 1500",
            f"    alias dcedge:vi{i}",
            f"    address {IPv4Address('172.16.0.0') + 4 * i + 2}/30",
            f"    address 2001:db8:{i:x}::2/126",
        ]
    return "\n".join(lines) + "\n"


def ifupdown2(folder: Path, count: int) -> float:
    """Seconds that ifupdown2 takes for the links and addresses; it knows of no shaper, and makes none.

    It looks for its parts in /usr/share and /etc, where they are laid over what this machine has there.
    """
    interfaces = folder / "interfaces"
    interfaces.write_text(ifupdown2_text(count))
    Path("/run/network").mkdir(exist_ok=True)
    mounts = [
        f"mount -t overlay lab -o lowerdir={IFUPDOWN2}{place}:{place} {place}" for place in ("/usr/share", "/etc")
    ]
    command = f"/usr/bin/python3 {IFUPDOWN2}/sbin/ifup -a -i {interfaces}"
    started = time.perf_counter()
    words = ("unshare", "-m", "sh", "-ec", "; ".join([*mounts, f"exec {command}"]))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
