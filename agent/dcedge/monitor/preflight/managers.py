"""Who else manages links here: networkd, NetworkManager and netplan undo what they did not make."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_NETWORKD_FOLDERS = ("/usr/lib/systemd/networkd.conf.d", "/run/systemd/networkd.conf.d", "/etc/systemd/networkd.conf.d")
_KEEPS = ("ManageForeignRoutes", "ManageForeignRoutingPolicyRules")
_NO = {"no", "false", "0", "off"}


def networkd(router: PreflightInput) -> Iterator[CheckResult]:
    """networkd does not touch our ports, and foreign routes and rules too, which it removes when it starts."""
    host = router.host
    if host.read("/run/systemd/netif/state") is None:
        yield CheckResult("networkd", "good", "does not run")
        return
    managed = [port for port in router.ports if _networkd_state(router, port) not in {"", "unmanaged"}]
    for port in managed:
        text = f"manages {port}: it sets addresses and MTU there, and removes what it does not know"
        unit = f"[Match]\\nName={port}\\n[Link]\\nUnmanaged=yes"
        yield CheckResult(
            "networkd", "warning", text, f"printf '{unit}\\n' > /etc/systemd/network/05-dcedge-{port}.network"
        )
    lacking = [key for key in _KEEPS if _networkd_setting(router, key) not in _NO]
    if lacking:
        text = f"removes foreign routes and rules when it starts ({', '.join(lacking)} is not `no`)"
        lines = "\\n".join(f"{key}=no" for key in lacking)
        place = "/etc/systemd/networkd.conf.d/dcedge.conf"
        yield CheckResult(
            "networkd",
            "warning",
            text,
            f"mkdir -p {place.rpartition('/')[0]}; printf '[Network]\\n{lines}\\n' > {place}",
        )
    if not managed and not lacking:
        yield CheckResult("networkd", "good", "does not touch our ports, nor foreign routes and rules")


def _networkd_state(router: PreflightInput, port: str) -> str:
    text = router.host.read(f"/run/systemd/netif/links/{router.indices.get(port, 0)}") or ""
    found = re.search(r"^ADMIN_STATE=(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def _networkd_setting(router: PreflightInput, key: str) -> str:
    """The last word on a setting; empty where nobody has said one."""
    texts = [router.host.read("/etc/systemd/networkd.conf") or ""]
    texts += [text for folder in _NETWORKD_FOLDERS for _, text in router.host.texts(folder, ".conf")]
    said = [found for text in texts for found in re.findall(rf"^\s*{key}\s*=\s*(\S+)", text, re.MULTILINE)]
    return said[-1].lower() if said else ""


def network_manager(router: PreflightInput) -> Iterator[CheckResult]:
    """NetworkManager does not touch our ports."""
    if not router.host.names("/run/NetworkManager/devices"):
        yield CheckResult("NetworkManager", "good", "does not run")
        return
    managed = [port for port in router.ports if _nm_manages(router, port)]
    for port in managed:
        text = f"manages {port}: it removes addresses and VLANs that it does not know"
        conf = f"[keyfile]\\nunmanaged-devices+=interface-name:{port}"
        place = f"/etc/NetworkManager/conf.d/dcedge-{port}.conf"
        mend = f"nmcli device set {port} managed no; printf '{conf}\\n' > {place}"
        yield CheckResult("NetworkManager", "warning", text, mend)
    if not managed:
        yield CheckResult("NetworkManager", "good", "does not touch our ports")


def _nm_manages(router: PreflightInput, port: str) -> bool:
    text = router.host.read(f"/run/NetworkManager/devices/{router.indices.get(port, 0)}") or ""
    return re.search(r"^managed=(true|1)", text, re.MULTILINE) is not None


def netplan(router: PreflightInput) -> Iterator[CheckResult]:
    """netplan's files do not name our ports."""
    named = [
        (port, place)
        for place, text in router.host.texts("/etc/netplan", ".yaml")
        for port in router.ports
        if re.search(rf"^\s*[\"']?{re.escape(port)}[\"']?\s*:", text, re.MULTILINE)
    ]
    for port, place in named:
        text = f"{place} has {port}: `netplan apply` reconfigures it"
        yield CheckResult("netplan", "warning", text, f"remove {port} from {place}, then: netplan generate")
    if not named and router.host.names("/etc/netplan"):
        yield CheckResult("netplan", "good", "its files do not mention our ports")
