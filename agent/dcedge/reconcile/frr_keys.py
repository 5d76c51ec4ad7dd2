"""Sessions whose TCP-MD5 key the kernel does not have: they are shut until it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dcedge.errors import FrrError, KernelError
from dcedge.frr.md5 import KeyedPeer, keyed_peers, look_for_keys, secure, shut_down_unsafe
from dcedge.frr.resources import FrrBlock
from dcedge.frr.session_block import session_key
from dcedge.frr.vty import FrrClient
from dcedge.kernel.context import Failure
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key


class FrrKeys:
    """Knows which sessions are shut for want of their key."""

    def __init__(self, client: FrrClient) -> None:
        self._client = client
        self._shut: frozenset[KeyedPeer] = frozenset()
        self.unverified = ""  # why keys cannot be looked for; empty where they can

    def with_unsafe_shut_down(self, ordered: Mapping[Key, FrrBlock]) -> Mapping[Key, FrrBlock]:
        """What FRR is to have: as ordered, but for the sessions that are shut."""
        return shut_down_unsafe(ordered, self._shut & keyed_peers(ordered).keys()) if self._shut else ordered

    def see_to(self, ordered: Mapping[Key, FrrBlock], *, fresh: bool) -> tuple[list[Failure], bool]:
        """Shut the sessions whose key is not in force, open those whose is again.

        A failure for each that is shut, and whether anything has changed. `fresh`: FRR was only just written to.
        """
        keyed = keyed_peers(ordered)
        fate = "its session is shut down until the key is in force"
        try:
            found = look_for_keys(keyed, patient=fresh)
            self.unverified = found.unheard
            # Those that were shut are opened where their key has come about by itself, too.
            missing = found.missing | (self._shut & keyed.keys())
            if missing:
                missing = secure(self._client, ordered, keyed, missing)
        except KernelError as error:
            missing, self.unverified = self._shut, f"TCP-MD5 keys cannot be verified: {error}"
        except FrrError as error:
            fate = f"its session could not be shut down: {error}"
        changed, self._shut = missing != self._shut, missing
        return list(_failures(missing, ordered, fate)), changed


def _failures(missing: frozenset[KeyedPeer], ordered: Mapping[Key, FrrBlock], fate: str) -> Iterator[Failure]:
    for peer in sorted(missing, key=lambda peer: (peer.virtual_interface, str(peer.peer))):
        key = session_key(peer.virtual_interface)
        if (block := ordered.get(key)) is not None:
            lacking = Operation("change", key, block, block, (), "its key is not in force", "none", block.affects)
            yield Failure(lacking, f"the kernel refused the TCP-MD5 key of {peer.peer}: {fate}", True)
