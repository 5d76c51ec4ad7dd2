"""The kernel: modules that the order needs, settings of which it combines several, and its connection table."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dcedge.monitor.preflight.check import CheckResult, PreflightInput

_CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack"
_ECHO_IGNORED = "net/ipv4/icmp_echo_ignore_all"
_FULL, _NEARLY = 0.95, 0.8  # of the connection table


def modules(router: PreflightInput) -> Iterator[CheckResult]:
    """Every module that the order needs is loaded, built in, or there to be loaded."""
    needed = list(_needed(router))
    release = router.host.read("/proc/sys/kernel/osrelease") or os.uname().release
    folder = f"/lib/modules/{release}"
    loaded = {line.split()[0] for line in (router.host.read("/proc/modules") or "").splitlines()}
    built_in = _stems(router.host.read(f"{folder}/modules.builtin"))
    there = _stems(router.host.read(f"{folder}/modules.dep"))
    missing = [
        name for name in needed if not ({name} & (loaded | built_in) or router.host.names(f"/sys/module/{name}"))
    ]
    lacking = [name for name in missing if name not in there]
    if not missing:
        yield CheckResult("kernel modules", "good", f"loaded or built in: {', '.join(needed)}")
    elif not there and not built_in:
        text = f"whether this kernel has {', '.join(missing)} is not known: {folder} is not there"
        yield CheckResult("kernel modules", "unknown", text, f"modprobe -a {' '.join(missing)}")
    elif lacking:
        text = f"{release} has no {', '.join(lacking)}, which the order needs"
        yield CheckResult(
            "kernel modules", "wrong", text, "install the full kernel (Debian: linux-image-amd64, not -cloud)"
        )
    elif router.host.sysctl("kernel/modules_disabled"):
        text = f"{', '.join(missing)} cannot be loaded any more: kernel.modules_disabled is 1 until the next boot"
        yield CheckResult(
            "kernel modules", "wrong", text, f"printf '%s\\n' {' '.join(missing)} > /etc/modules-load.d/dcedge.conf"
        )
    else:
        yield CheckResult(
            "kernel modules", "good", f"{', '.join(missing)} will be loaded when needed, the others are there"
        )


def _stems(text: str | None) -> set[str]:
    """The modules' names of modules.builtin or modules.dep."""
    files = (line.partition(":")[0].rpartition("/")[2] for line in (text or "").splitlines())
    return {file.partition(".ko")[0].replace("-", "_") for file in files}


def _needed(router: PreflightInput) -> Iterator[str]:
    interfaces = router.interfaces
    yield from ("sch_htb", "nf_tables")
    if any(interface.tags for interface in interfaces) or not interfaces:
        yield "8021q"
    if any(interface.vrf for interface in interfaces):
        yield "vrf"
    if any(interface.bond for interface in interfaces):
        yield "bonding"
    if any(interface.ingress for interface in interfaces):
        yield from ("ifb", "act_mirred", "cls_matchall")
    yield from sorted({f"sch_{interface.queue}" for interface in interfaces if interface.queue != "pfifo"})


def combined_settings(router: PreflightInput) -> Iterator[CheckResult]:
    """Settings that hold for a link together with `all`: what `all` has may outweigh what the link is given."""
    host, before = router.host, "net/ipv4/conf/all"
    strict = host.sysctl(f"{before}/rp_filter")
    if strict == 1:
        text = "net.ipv4.conf.all.rp_filter is 1: of `all` and the link the greater one counts, and what comes back by"
        yield CheckResult("rp_filter", "warning", f"{text} the backup path is dropped", _set(f"{before}/rp_filter", 2))
    elif strict is not None:
        yield CheckResult("rp_filter", "good", f"net.ipv4.conf.all.rp_filter is {strict}")
    # Of arp_ignore the greater one counts too; the links of an order have 1.
    for name, harmless in (("arp_ignore", 1), ("arp_filter", 0)):
        value = host.sysctl(f"{before}/{name}")
        if value is not None and value > harmless:
            text = f"net.ipv4.conf.all.{name} is {value}: the cloud's ARP requests may go unanswered"
            yield CheckResult(name, "warning", text, _set(f"{before}/{name}", 0))
    if host.sysctl(f"{before}/log_martians"):
        text = "net.ipv4.conf.all.log_martians is 1: stray packets of a cloud fill the log"
        yield CheckResult("log_martians", "warning", text, _set(f"{before}/log_martians", 0))
    if host.sysctl(_ECHO_IGNORED):
        text = "net.ipv4.icmp_echo_ignore_all is 1: a cloud that pings this router takes the line for dead"
        yield CheckResult("pings", "warning", text, _set(_ECHO_IGNORED, 0))
    yield from _ipv6(router)


def _ipv6(router: PreflightInput) -> Iterator[CheckResult]:
    ordered = any(pair.customer.version == 6 for interface in router.interfaces for pair in interface.addresses)
    if not router.host.names("/proc/sys/net/ipv6"):
        state, mend = ("wrong", "remove ipv6.disable=1 from the kernel's command line") if ordered else ("good", "")
        yield CheckResult("IPv6", state, "this kernel runs without IPv6", mend)  # type: ignore[arg-type]
        return
    off = [place for place in ("all", "default") if router.host.sysctl(f"net/ipv6/conf/{place}/disable_ipv6") == 1]
    if off and ordered:
        text = f"net.ipv6.conf.{off[0]}.disable_ipv6 is 1, and IPv6 is ordered"
        yield CheckResult("IPv6", "wrong", text, _set(f"net/ipv6/conf/{off[0]}/disable_ipv6", 0))
    else:
        yield CheckResult("IPv6", "good", "ordered, and enabled" if ordered else "not ordered")


def connection_table(router: PreflightInput) -> Iterator[CheckResult]:
    """The connection table has room: full, it drops every new connection that crosses the router."""
    count, most = router.host.number(f"{_CONNTRACK}_count"), router.host.number(f"{_CONNTRACK}_max")
    if count is None or not most:
        yield CheckResult("conntrack", "good", "connection tracking is not in use")
        return
    share = count / most
    told = f"{count} of at most {most} connections are tracked"
    if share < _NEARLY:
        yield CheckResult("conntrack", "good", told)
    else:
        text = f"{told}: when full, new connections are dropped"
        yield CheckResult(
            "conntrack", "wrong" if share >= _FULL else "warning", text, _set(f"{_CONNTRACK[10:]}_max", 4 * most)
        )


def _set(path: str, value: int) -> str:
    return f"sysctl -w {path.replace('/', '.')}={value}  # and in /etc/sysctl.d"
