"""The settings of each link of ours (ip-sysctl.txt)."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.plan.resource import Change

# Per-interface safety, read back from the same link dump (ip-sysctl.txt): no redirects, no source routing, ARP only
# for and from the interface's own addresses, no reverse-path filter (primary and backup paths are asymmetric).
Settings = tuple[tuple[str, int], ...]  # by name
IPV4_CONF: Settings = (
    ("forwarding", 1),
    ("accept_redirects", 0),
    ("send_redirects", 0),
    ("accept_source_route", 0),
    ("rp_filter", 0),
    ("arp_ignore", 1),
    ("arp_announce", 2),
)
# A forwarding interface heeds neither redirects nor router advertisements, except with accept_ra 2 (it is read back
# as 0 below that): so two settings do, and inheriting them costs nothing where four writes a link were half of a pass.
IPV6_CONF: Settings = (("forwarding", 1), ("accept_ra", 0))


def settings_changed(
    family: str, wanted: tuple[tuple[str, int], ...], observed: tuple[tuple[str, int], ...]
) -> Iterator[Change]:
    was = dict(observed)
    for name, value in wanted:
        if was.get(name, value) != value:
            yield Change(f"{family}.{name}", str(was[name]), str(value))
