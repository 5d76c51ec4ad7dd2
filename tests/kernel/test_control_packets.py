"""The router's own control packets are marked and go first; nobody else's are."""

from __future__ import annotations

import subprocess

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from tests.lab.bed import Bed
from tests.lab.netns import end
from tests.lab.traffic import Capture
from tests.lab.wait import until


def control_class_packets(bed: Bed, link: str) -> int:
    """What has gone through the class for control packets."""
    said = subprocess.run(
        ["tc", "-n", bed.edge.namespace.name, "-s", "class", "show", "dev", link, "classid", "dce:2"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return int(said.split(" pkt")[0].split()[-1])


def test_bfd_bgp_and_arp_carry_their_marks_and_a_hosts_traffic_does_not(running: Bed) -> None:
    bed = running
    customer, far = "10.255.201.2", bed.dev.host_address(4)
    with Capture(bed.trunk("dev-a")) as capture:
        bed.edge.namespace.ip("neigh flush dev eth2.201")
        bed.edge.frr.vtysh("clear bgp 10.255.201.1 soft out")
        # A host that pretends to speak BGP.
        pretender = bed.edge.host.popen("bash", "-c", f"exec 3<>/dev/tcp/{far}/179")

        def seen() -> dict[str, list[tuple[int, int]]]:
            """802.1p and TOS of what left by the link, by kind."""
            found: dict[str, list[tuple[int, int]]] = {"bfd": [], "bgp": [], "arp": [], "host": []}
            for frame in capture.frames:
                if Dot1Q not in frame or frame[Dot1Q].vlan != 201:
                    continue
                pcp = int(frame[Dot1Q].prio)
                if ARP in frame and frame[ARP].psrc == customer:
                    found["arp"].append((pcp, 0))
                elif IP in frame and frame[IP].src == customer and UDP in frame and frame[UDP].dport == 3784:
                    found["bfd"].append((pcp, frame[IP].tos))
                elif IP in frame and frame[IP].src == customer and TCP in frame:
                    found["bgp"].append((pcp, frame[IP].tos))
                elif IP in frame and frame[IP].dst == far:
                    found["host"].append((pcp, frame[IP].tos))
            return found

        found = until("all four kinds", seen, accept=lambda kinds: all(kinds.values()))
        end(pretender)
    assert set(found["bfd"]) == set(found["bgp"]) == {(6, 0xC0)}
    assert set(found["arp"]) == {(6, 0)}
    assert {pcp for pcp, _ in found["host"]} == {0}
    assert control_class_packets(bed, "eth2.201") > 0
    assert Ether in capture.frames[0]
