"""The kernel's side of a pass: what is remembered of it, observed as a whole or where something changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dcedge.kernel.address.resource import IpAddress
from dcedge.kernel.culprit import vlans_taken
from dcedge.kernel.link.resource import INDEX_MAX
from dcedge.kernel.link.view import LinkView
from dcedge.kernel.naming import ingress_device
from dcedge.kernel.observe import owned_resources
from dcedge.kernel.port.resource import Port
from dcedge.kernel.queue.observe import ingress_of
from dcedge.kernel.queue.resource import Ingress
from dcedge.kernel.queue.view import qdiscs_of
from dcedge.kernel.ranks import DELETION_GROUP
from dcedge.kernel.resource import KernelResource
from dcedge.kernel.route.observe import routes_of
from dcedge.kernel.route.resource import Route
from dcedge.kernel.route.view import our_routes
from dcedge.kernel.sysctl.observe import settings_of
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.kernel.view import KernelView, observe_again, observe_kernel, observe_link
from dcedge.kernel.vrf.observe import vrf_ways
from dcedge.kernel.vrf.resource import Vrf, VrfRule
from dcedge.kernel.vrf.view import vrf_rules
from dcedge.netlink.socket import RouteSocket
from dcedge.plan.resource import Key, Resource, State
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.state.formats import Owned
from dcedge.reconcile.state.store import Store


@dataclass(slots=True)
class KernelObserved:
    """What of the kernel is ours (or stands where ours should), and the index of every link by name."""

    state: dict[Key, Resource] = field(default_factory=dict)
    indices: dict[str, int] = field(default_factory=dict)
    deletion_group_in_use: bool = False
    routes: set[Key] = field(default_factory=set)  # of `state`
    ingress: dict[str, Key] = field(default_factory=dict)  # of `state`, by device
    _children: dict[str, tuple[Key, ...]] = field(default_factory=dict)

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
            intended = intent.get(key)
            self.state[key] = intended if intended is not None and intended == resource else resource
            if isinstance(resource, KernelResource) and (link := resource.on_link) is not None:
                children = self._children.get(link, ())
                if key not in children:
                    self._children[link] = (*children, key)
            elif isinstance(resource, Route):
                self.routes.add(key)
            elif isinstance(resource, Ingress):
                self.ingress[resource.device] = key

    def children(self, link: str) -> Collection[Key]:
        """The children of a link: its addresses and its shaper."""
        return self._children.get(link, ())

    def forget_link(self, name: str) -> None:
        """Drop a link with its addresses and its shaper; a link on top of it has events of its own."""
        for key in (Key("link", name), *self._children.pop(name, ())):
            self.state.pop(key, None)


class KernelSync:
    """What is known of one router's kernel; one thread at a time.

    `give_way` is called between two questions of a full resync: an incremental pass may be made there, on what was
    known before.
    """

    def __init__(self, sock: RouteSocket, store: Store) -> None:
        self.sock = sock
        self.store = store
        self.observed: KernelObserved | None = None  # what was seen last, and done since
        self.highest_index = 0  # of any link that there was
        self.resyncs = 0  # full ones, so far
        self.give_way: Callable[[], None] = lambda: None
        self._observed_meanwhile: set[int] = set()  # links that were observed by themselves during a full resync
        self.in_the_way: tuple[str, ...] = ()  # what of others stands where ours should, as far as it has another name

    @property
    def seen(self) -> KernelObserved:
        """What was seen last; only after a full resync."""
        assert self.observed is not None
        return self.observed

    def forget(self) -> None:
        """What is known may not be so."""
        self.observed = None

    def observe(self, intent: Intent, owned: Owned) -> None:
        """Observe everything."""
        resyncs = self.resyncs
        self._observed_meanwhile = set()
        wanted = [r.interface for r in intent.kernel.values() if isinstance(r, IpAddress)]
        view = observe_kernel(self.sock, wanted, self._gave_way)
        if self.resyncs > resyncs:
            return  # what it gave way to has observed everything, later
        observe_again(self.sock, view, self._observed_meanwhile)
        if any(isinstance(resource, VrfRule) for resource in intent.shared.values()):
            view.vrf_rules = vrf_rules(self.sock)
        self.resyncs += 1
        self.observed = None  # is let go of first: of thousands of links it takes memory
        observed = KernelObserved(
            indices={link.name: link.index for link in view.links.values()},
            deletion_group_in_use=any(link.group == DELETION_GROUP for link in view.links.values()),
        )
        self.in_the_way = tuple(vlans_taken(view.links, intent.kernel.values()))
        self.note_indices((self.store.highest_index(), *view.links))
        keys = {key: key for key in intent.kernel}
        observed.take(owned_resources(view, intent.kernel, owned.links, owned.ports_found), intent.kernel, keys)
        observed.take(settings_of(intent.kernel.values()).items(), intent.kernel)
        for resource in intent.kernel.values():
            if isinstance(resource, Port) and resource.exact:
                observed.state.setdefault(resource.key, resource)  # nothing to put back on a port that is gone
        self.observed = observed

    def note_indices(self, indices: Iterable[int]) -> None:
        """Links had these: new ones get higher ones, as long as there are any."""
        self.highest_index = max((self.highest_index, *(index for index in indices if index < INDEX_MAX)))

    def _gave_way(self) -> Collection[int]:
        self.give_way()
        return self._observed_meanwhile

    def observe_links(self, links: Collection[int], intent: Intent, owned: Owned, *, queues: bool) -> set[str]:
        """Observe some links again, by index, and their queues too; the names that they had and have."""
        if not links:
            return set()
        self._observed_meanwhile.update(links)
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
        self.note_indices((link.index,))
        view.links = {link.index: link, **{i: other for i, other in view.links.items() if i != link.index}}
        mine = Key("link", link.name)
        found = (
            (key, resource)
            for key, resource in owned_resources(view, intent.kernel, owned.links, owned.ports_found)
            if mine in (key, resource.parent) or key == Key("port", link.name)
        )
        self.seen.take(found, intent.kernel)

    def observe_settings(self, intent: Intent) -> set[Key]:
        """Observe again what holds for the whole router: settings, rules that lead into VRFs; which they are."""
        intended = {key: r for key, r in intent.shared.items() if isinstance(r, Sysctl | VrfRule)}
        for key in intended:
            self.seen.state.pop(key, None)
        self.seen.take(settings_of(intended.values()).items(), intent.kernel)
        if any(isinstance(resource, VrfRule) for resource in intended.values()):
            self.seen.take(vrf_ways(KernelView(vrf_rules=vrf_rules(self.sock)), intended, {}), intent.kernel)
        return set(intended) | {rule.parent for rule in intended.values() if isinstance(rule, VrfRule)}

    def observe_routes(self, intent: Intent, links: Collection[str]) -> set[Key]:
        """Observe our static routes again, where there are any; those that the order has or had on these links."""
        state = self.seen.state
        before = {key: r for key in self.seen.routes if isinstance(r := state[key], Route)}
        intended = {key: r for key in intent.shared if isinstance(r := intent.kernel[key], Route)}
        if not before and not intended:
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
            for routes in (before, intended)
            for key, route in routes.items()
            if any(hop.link in links for hop in route.hops)
        }

    def observe_ingress(self, intent: Intent, names: Collection[str]) -> set[Key]:
        """Observe the ingress shaping of these links, or of these devices, again; which they are."""
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
                    view.include(observe_link(self.sock, indices[name], qdiscs))
            device = view.by_name.get(ingress_device(key.name))
            if device is not None:
                self.seen.take([(key, ingress_of(view, device, intent.kernel))], intent.kernel)
        return keys
