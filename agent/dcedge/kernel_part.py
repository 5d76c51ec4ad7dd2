"""The kernel's side of a pass: what is remembered of it, looked at as a whole or where something changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dcedge.intent import Intent
from dcedge.kernel import messages as m
from dcedge.kernel import sysctl
from dcedge.kernel.naming import ingress_device
from dcedge.kernel.netlink import RouteSocket
from dcedge.kernel.objects import Ingress, IpAddress, LinkLocal, Port, Route, Shaper, Vrf
from dcedge.kernel.observe import ingress_of, owned_resources, routes_of
from dcedge.kernel.view import KernelView, LinkView, observe_kernel, observe_link, our_routes, qdiscs_of
from dcedge.resource import Key, Resource, State
from dcedge.store import Owned, Store


@dataclass(slots=True)
class KernelObserved:
    """What of the kernel is ours (or stands where ours should), and the index of every link by name."""

    state: dict[Key, Resource] = field(default_factory=dict)
    indices: dict[str, int] = field(default_factory=dict)
    deletion_group_in_use: bool = False
    routes: set[Key] = field(default_factory=set)  # of `state`
    ingress: dict[str, Key] = field(default_factory=dict)  # of `state`, by device
    _upon: dict[str, tuple[Key, ...]] = field(default_factory=dict)

    def take(
        self,
        resources: Iterable[tuple[Key, Resource]],
        intent: State,
        keys: Mapping[Key, Key] = MappingProxyType({}),
    ) -> None:
        """Enter resources, as the intent's own objects where they are equal: thousands of twins cost memory.

        `keys`: the intent's own, each by itself.
        """
        for fresh, resource in resources:
            key = keys.get(fresh, fresh)
            wanted = intent.get(key)
            self.state[key] = wanted if wanted is not None and wanted == resource else resource
            if isinstance(resource, (IpAddress, LinkLocal, Shaper)):
                upon = self._upon.get(resource.link, ())
                if key not in upon:
                    self._upon[resource.link] = (*upon, key)
            elif isinstance(resource, Route):
                self.routes.add(key)
            elif isinstance(resource, Ingress):
                self.ingress[resource.device] = key

    def upon(self, link: str) -> Collection[Key]:
        """The addresses and the shaper on a link."""
        return self._upon.get(link, ())

    def forget_link(self, name: str) -> None:
        """Drop a link with its addresses and its shaper; a link upon it has events of its own."""
        for key in (Key("link", name), *self._upon.pop(name, ())):
            self.state.pop(key, None)


class KernelPart:
    """What is known of one router's kernel; one thread at a time."""

    def __init__(self, sock: RouteSocket, store: Store) -> None:
        self.sock = sock
        self.store = store
        self.observed: KernelObserved | None = None  # what was seen last, and done since
        self.highest_index = 0  # of any link that there was
        self.looks = 0  # at everything, so far

    @property
    def seen(self) -> KernelObserved:
        """What was seen last; only after a look."""
        assert self.observed is not None
        return self.observed

    def forget(self) -> None:
        """What is known may not be so."""
        self.observed = None

    def look(self, intent: Intent, owned: Owned) -> None:
        """Look at everything."""
        view = observe_kernel(self.sock, [r.interface for r in intent.kernel.values() if isinstance(r, IpAddress)])
        self.looks += 1
        self.observed = None  # is let go of first: of thousands of links it takes memory
        observed = KernelObserved(
            indices={link.name: link.index for link in view.links.values()},
            deletion_group_in_use=any(link.group == m.DELETION_GROUP for link in view.links.values()),
        )
        self.highest_index = max(self.highest_index, self.store.highest_index(), *view.links)
        keys = {key: key for key in intent.kernel}
        observed.take(owned_resources(view, intent.kernel, owned.links), intent.kernel, keys)
        observed.take(sysctl.observed(intent.kernel.values()).items(), intent.kernel)
        for resource in intent.kernel.values():
            if isinstance(resource, Port) and resource.exact:
                observed.state.setdefault(resource.key, resource)  # nothing to put back on a port that is gone
        self.observed = observed

    def look_at_links(self, links: Collection[int], intent: Intent, owned: Owned, *, queues: bool) -> set[str]:
        """Look at some links again, by index, and at their queues too; the names that they had and have."""
        if not links:
            return set()
        seen = self.seen
        known = {index: name for name, index in seen.indices.items() if index in links}
        shapers = {name: seen.state.get(Key("shaper", name)) for name in known.values()}
        for name in known.values():  # of all before any is entered: a name may have moved from one to another
            seen.forget_link(name)
        qdiscs = qdiscs_of(self.sock, links) if queues else None
        entered = set()
        for index in links:
            view = observe_link(self.sock, index, qdiscs)
            if (link := view.links.get(index)) is None:
                continue
            entered.add(link.name)
            self._enter_link(view, link, intent, owned)
            if not queues and known.get(index) == link.name and (shaper := shapers[link.name]) is not None:
                seen.take([(shaper.key, shaper)], intent.kernel)
        for name in set(known.values()) - entered:
            del seen.indices[name]
        return entered.union(known.values())

    def _enter_link(self, view: KernelView, link: LinkView, intent: Intent, owned: Owned) -> None:
        self.seen.indices[link.name] = link.index
        self.highest_index = max(self.highest_index, link.index)
        view.links = {link.index: link, **{i: other for i, other in view.links.items() if i != link.index}}
        mine = Key("link", link.name)
        found = (
            (key, resource)
            for key, resource in owned_resources(view, intent.kernel, owned.links)
            if mine in (key, resource.parent) or key == Key("port", link.name)
        )
        self.seen.take(found, intent.kernel)

    def look_at_routes(self, intent: Intent, links: Collection[str]) -> set[Key]:
        """Look at our static routes again, where there are any; those that the order has or had on these links."""
        state = self.seen.state
        before = {key: r for key in self.seen.routes if isinstance(r := state[key], Route)}
        wanted = {key: r for key in intent.shared if isinstance(r := intent.kernel[key], Route)}
        if not before and not wanted:
            return set()
        names = {index: name for name, index in self.seen.indices.items()}
        vrfs = {r.table: r.name for r in state.values() if isinstance(r, Vrf)}
        for key in before:
            del state[key]
        self.seen.routes.clear()
        routes = routes_of(our_routes(self.sock), names, vrfs, intent.kernel)
        self.seen.take(routes.items(), intent.kernel)
        return {
            key
            for routes in (before, wanted)
            for key, route in routes.items()
            if any(hop.link in links for hop in route.hops)
        }

    def look_at_ingress(self, intent: Intent, names: Collection[str]) -> set[Key]:
        """Look again at what shapes the way in by these links, or by these devices; which those are."""
        state, indices = self.seen.state, self.seen.indices
        keys = {self.seen.ingress[name] for name in names if name in self.seen.ingress}
        keys |= {key for name in names if (key := Key("ingress", name)) in state or key in intent.kernel}
        devices = {name for key in keys for name in (ingress_device(key.name), key.name)} & indices.keys()
        qdiscs = qdiscs_of(self.sock, {indices[name] for name in devices}) if devices else {}
        for key in keys:
            state.pop(key, None)
            view = KernelView()
            for name in (ingress_device(key.name), key.name):
                if name in indices:
                    found = observe_link(self.sock, indices[name], qdiscs)
                    view.links |= found.links
                    view.by_name |= found.by_name
                    view.qdiscs |= found.qdiscs
                    view.classes |= found.classes
                    view.classifiers |= found.classifiers
                    view.redirects |= found.redirects
            device = view.by_name.get(ingress_device(key.name))
            if device is not None:
                self.seen.take([(key, ingress_of(view, device, intent.kernel))], intent.kernel)
        return keys
