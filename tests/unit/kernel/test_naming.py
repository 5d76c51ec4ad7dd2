"""Names in the kernel: predictable where they fit, short and always the same where they do not."""

from hypothesis import given
from hypothesis import strategies as st

from dcedge.kernel.naming import link_name
from dcedge.order.resolve import Tag

PORTS = st.from_regex(r"\A[a-z][a-z0-9]{0,14}\Z")
TAGS = st.lists(st.builds(Tag, st.integers(1, 4094), st.just(0x8100)), min_size=1, max_size=2).map(tuple)


def test_port_and_vlan_where_they_fit() -> None:
    assert link_name("eth1", (Tag(101, 0x8100),)) == "eth1.101"
    assert link_name("eth1", (Tag(10, 0x88A8), Tag(200, 0x8100))) == "eth1.10.200"
    assert link_name("eth1", ()) == "eth1"


def test_a_long_port_gets_a_short_name_that_keeps_the_vlan() -> None:
    name = link_name("enp129s0f0np0", (Tag(1001, 0x8100),))
    assert name.endswith(".1001")
    assert len(name) <= 15
    assert name != link_name("enp129s0f1np1", (Tag(1001, 0x8100),))


@given(PORTS, TAGS)
def test_every_name_is_one_the_kernel_takes(port: str, tags: tuple[Tag, ...]) -> None:
    assert 0 < len(link_name(port, tags)) <= 15
