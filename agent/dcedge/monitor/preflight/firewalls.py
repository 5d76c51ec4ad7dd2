"""Other firewalls on this router, which drop beside dcedge's own table."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.firewall.foreign import foreign_firewall
from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_SERVICES = {"firewalld": "firewall-cmd --state", "nftables": "nft list ruleset", "ufw": "ufw status"}
_SYSTEM = "/sys/fs/cgroup/system.slice"


def firewalls(router: PreflightInput) -> Iterator[CheckResult]:
    """What may drop BGP, BFD and what is forwarded."""
    running = [name for name in _SERVICES if router.host.names(f"{_SYSTEM}/{name}.service")]
    if "ENABLED=yes" in (router.host.read("/etc/ufw/ufw.conf") or "") and "ufw" not in running:
        running.append("ufw")
    tables = [
        family for family in ("ip_tables", "ip6_tables") if router.host.read(f"/proc/net/{family}_names")
    ]  # of the iptables that is not nftables
    for name in running:
        text = f"{name} is active: check that it allows BGP (TCP 179), BFD (UDP 3784) and forwarded traffic"
        yield CheckResult("firewall", "warning", text, _SERVICES[name])
    for family in tables:
        command = "iptables-legacy -S" if family == "ip_tables" else "ip6tables-legacy -S"
        yield CheckResult(
            "firewall", "warning", f"legacy iptables is in use ({family}): its rules are not checked", command
        )
    chains = foreign_firewall()
    for chain in chains:
        yield CheckResult("firewall", "warning", f"others' rules may drop traffic: {chain}", "nft list ruleset")
    if not (running or tables or chains):
        yield CheckResult("firewall", "good", "no other firewall drops packets")
