"""What the kernel says of changes, and when it is old news."""

from __future__ import annotations

import pytest

from dcedge.kernel.events import EventSocket
from dcedge.kernel.link.view import dump_links
from dcedge.netlink.socket import RouteSocket
from tests.lab.netns import Workspace

pytestmark = pytest.mark.everywhere


def test_what_a_look_at_everything_shows_is_old_news() -> None:
    with Workspace() as work:
        namespace = work.namespace("edge")
        events = namespace.call(EventSocket)
        try:
            namespace.ip("link add name eth1 type veth peer name far1", "link set eth1 up")
            events.forget()
            with namespace.call(RouteSocket) as sock:
                links = {link.name: link for link in dump_links(sock)}
            assert links["eth1"].up
            assert not links["far1"].up
            namespace.ip("link set far1 mtu 1400")
            changed = events.changed()
        finally:
            events.close()
    assert changed is not None
    assert links["far1"].index in changed.links


def test_news_that_were_lost_are_told_until_a_look_at_everything() -> None:
    with Workspace() as work:
        namespace = work.namespace("edge")
        events = namespace.call(EventSocket, 4096)
        try:
            namespace.ip("link add name eth1 type veth peer name far1")
            namespace.ip(*(f"link set eth1 mtu {mtu}" for mtu in range(1300, 1400)))
            assert events.changed() is None
            namespace.ip(*(f"link set eth1 mtu {mtu}" for mtu in range(1300, 1400)))
            events.forget()
            changed = events.changed()
        finally:
            events.close()
    assert changed is not None
    assert not changed.links
