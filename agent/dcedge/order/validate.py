"""From the file's tree to models, piece by piece: what is wrong is said in an engineer's words, what is right is kept.

A good piece goes through pydantic in one step. A bad one is taken apart field by field, so that every field's
problem is said, and the rest of it is kept: a model that lacks just its broken attributes. The checks run on
such a model too, and pass over what they cannot know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from dcedge.order.finding import Path, Problem
from dcedge.order.model import (
    NAME_PATTERN,
    AcceptedPrefix,
    AddressPair,
    Agent,
    BfdTimers,
    Bgp,
    Bond,
    Connection,
    Credential,
    Kind,
    Order,
    Probe,
    Router,
    Shaping,
    VirtualGateway,
    VirtualInterface,
)
from dcedge.units import shown

Tree: TypeAlias = "bool | int | str | tuple[Tree, ...] | dict[str, Tree] | None"

SECTIONS: Mapping[str, type[BaseModel]] = {
    "connections": Connection,
    "virtual_gateways": VirtualGateway,
    "virtual_interfaces": VirtualInterface,
}
MAX_PROBLEMS = 10_000

_NOUNS: Mapping[type[BaseModel], str] = {
    Router: "router",
    Agent: "agent",
    Connection: "connection",
    Bond: "bond",
    VirtualGateway: "virtual gateway",
    VirtualInterface: "virtual interface",
    AcceptedPrefix: "accepted prefix",
    AddressPair: "address entry",
    Credential: "password",
    Bgp: "bgp map",
    BfdTimers: "bfd map",
    Shaping: "shaping map",
    Probe: "probe map",
}
# What other tools and the clouds' consoles call a thing.
_SYNONYMS: Mapping[str, str] = {
    "rate": "bandwidth",
    "speed": "bandwidth",
    "vid": "vlan",
    "vlan_id": "vlan",
    "interface": "port",
    "gateway": "virtual_gateway",
    "vgw": "virtual_gateway",
    "md5": "password",
    "auth_key": "password",
    "hold_time": "hold",
    "local": "customer",
    "local_asn": "customer_asn",
    "remote": "cloud",
    "remote_asn": "cloud_asn",
    "peer": "cloud",
    "neighbor": "cloud",
    "peer_asn": "cloud_asn",
}
_NUMBER = re.compile(r"[-+]?[0-9]+\Z")
_NAME = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_ROUTER_KEYS = ("router", "agent", *SECTIONS)


class TooManyProblemsError(Exception):
    """There is so much wrong that nobody reads it all."""


class _Broken:
    """Stands for a value that could not be read; its problem is noted."""


_BROKEN: Final = _Broken()


class _Pool:
    """Keeps one of each of the parts that thousands of virtual interfaces have alike: a third of their memory."""

    def __init__(self) -> None:
        self._models: dict[BaseModel, BaseModel] = {}
        self._sets: dict[frozenset[str], set[str]] = {}

    def thin(self, model: BaseModel) -> None:
        """Replace equal parts of a model by the same ones. Nobody has seen the model yet, so it may still change."""
        names = model.__pydantic_fields_set__
        object.__setattr__(model, "__pydantic_fields_set__", self._sets.setdefault(frozenset(names), names))
        parts = model.__dict__
        for name, part in parts.items():
            if isinstance(part, BaseModel):
                self.thin(part)
                parts[name] = self._models.setdefault(part, part)
            elif isinstance(part, tuple):
                for item in part:
                    if isinstance(item, BaseModel):
                        self.thin(item)


class Draft:
    """An order in the making: fed by the loader, complete (as far as it goes) after `finish`."""

    def __init__(self, previous: Order | None) -> None:
        self.order = Order.model_construct(connections={}, virtual_gateways={}, virtual_interfaces={})
        self.problems: list[Problem] = []
        self.whole = True  # nothing had to be left out
        self._previous = previous
        self._tops: set[str] = set()
        self._fresh: set[tuple[str, str]] = set()  # entries that are not the previous order's
        self._pool = _Pool()
        del self.order.__dict__["agent"]

    def entry(self, section: str, name: str, tree: Tree) -> None:
        """One entry of a section; the model that `previous` has of the same text is used again."""
        key = (section, name)
        if not _NAME.match(name):
            self._add(
                key, f"{shown(name)} is not a name (1-40 small letters, digits and '-', no '-' first)", part="key"
            )
        digest = hashlib.blake2b(repr(tree).encode("utf-8", "surrogatepass"), digest_size=12).digest()
        models: dict[str, BaseModel] = getattr(self.order, section)
        if self._previous is not None and self._previous.digests.get(key) == digest:
            models[name] = getattr(self._previous, section)[name]
        else:
            models[name] = self._model(SECTIONS[section], tree, key)
            self._fresh.add(key)
        self.order.digests[key] = digest

    def top(self, key: str, tree: Tree) -> None:
        """A key of the file that is not a section with entries."""
        if key in self._tops:
            return
        self._tops.add(key)
        if key == "router":
            self.order.__dict__["router"] = self._model(Router, tree, (key,))
        elif key == "agent":
            self.order.__dict__["agent"] = Agent() if tree is None else self._model(Agent, tree, (key,))
        elif key not in SECTIONS:
            self._unknown(key, (key,), _ROUTER_KEYS)
        elif tree is not None:
            noun = _NOUNS[SECTIONS[key]]
            self._add((key,), f"{shown(tree)} is not a map from each {noun}'s name to what it is")
            self.whole = False

    def finish(self) -> None:
        """After the last piece: what is not there at all."""
        if "router" not in self._tops:
            self._add(("router",), "is missing; an order needs it, with the keys asn and router_id")
            self.whole = False
        self.order.__dict__.setdefault("agent", Agent())
        if self._previous is not None:
            fresh = {name for section, name in self._fresh if section == "virtual_interfaces"}
            gone = self._previous.virtual_interfaces.keys() - self.order.virtual_interfaces.keys()
            self.order.digests.since = self._previous.digests.mark
            self.order.digests.changed = frozenset(fresh | gone)

    def _add(self, path: Path, message: str, part: Literal["key", "value"] = "value") -> None:
        self.problems.append(Problem(path, message, part))
        if len(self.problems) >= MAX_PROBLEMS:
            raise TooManyProblemsError

    def _unknown(self, key: str, path: Path, options: Collection[str], within: str = "") -> str | None:
        """Note an unknown key; the option that it was most likely meant to be, if any."""
        meant = _closest(key, options) or (_SYNONYMS.get(key) if _SYNONYMS.get(key) in options else None)
        hint = f"; did you mean {meant!r}?" if meant else within or f"; known here: {', '.join(options)}"
        self._add(path, f"unknown key {shown(key)}{hint}", part="key")
        return meant

    def _model(self, cls: type[BaseModel], tree: Tree, path: Path) -> BaseModel:
        try:
            model = cls.model_validate(tree)
        except ValidationError:
            self.whole = False
            return self._salvage(cls, tree, path)
        self._pool.thin(model)
        return model

    def _salvage(self, cls: type[BaseModel], tree: Tree, path: Path, kind: Kind | None = None) -> BaseModel:
        """A model with what is right of a tree; attributes that are not are absent."""
        values: dict[str, object] = {}
        absent = set(cls.model_fields)
        if isinstance(tree, dict):
            noted = len(self.problems)
            values, absent = self._fields(cls, tree, path)
            if len(self.problems) == noted:
                self._whole_model(cls, tree, path)
        else:
            needed = [name for name, field in cls.model_fields.items() if field.is_required()]
            keys = f" with the keys {', '.join(needed)}" if needed else ""
            self._add(path, _is_not(tree, kind or Kind(f"a {_NOUNS[cls]}: a map{keys}")))
        model = cls.model_construct(_fields_set=set(values), **values)
        for name in absent:
            model.__dict__.pop(name, None)
        return model

    def _fields(self, cls: type[BaseModel], tree: dict[str, Tree], path: Path) -> tuple[dict[str, object], set[str]]:
        """The good fields' values, and the names of the broken ones. A misspelt key breaks the one it was to be."""
        fields = cls.model_fields
        values: dict[str, object] = {}
        absent: set[str] = set()
        for key in tree:
            if key not in fields and (meant := self._unknown(key, (*path, key), fields, _elsewhere(cls, key))):
                absent.add(meant)
        for name, field in fields.items():
            if name in tree:
                read = self._value(field.annotation, field.metadata, tree[name], (*path, name))
                if isinstance(read, _Broken):
                    absent.add(name)
                else:
                    values[name] = read
                    absent.discard(name)
            elif field.is_required() and name not in absent:
                self._add((*path, name), f"is missing; every {_NOUNS[cls]} needs it", part="key")
                absent.add(name)
        return values, absent

    def _whole_model(self, cls: type[BaseModel], tree: Tree, path: Path) -> None:
        """Note what a model says of itself once each of its fields is right."""
        try:
            cls.model_validate(tree)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._add(path, _own_words(detail) or f"is not a {_NOUNS[cls]}")

    def _value(self, annotation: Any, metadata: Iterable[Any], tree: Tree, path: Path) -> object:
        """One field's value; _BROKEN after its problem is noted."""
        metadata = tuple(metadata)
        origin = get_origin(annotation)
        if origin is Annotated:
            inner, *more = get_args(annotation)
            return self._value(inner, (*more, *metadata), tree, path)
        if origin in {Union, UnionType} and not any(isinstance(entry, BeforeValidator) for entry in metadata):
            return self._union(get_args(annotation), metadata, tree, path)
        if origin is tuple:
            return self._items(get_args(annotation)[0], metadata, tree, path)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self._nested(annotation, metadata, tree, path)
        if origin is Literal:
            options = [str(option) for option in get_args(annotation)]
            if tree in options:
                return tree
            meant = _closest(tree, options) if isinstance(tree, str) else None
            hint = f"; did you mean {meant}?" if meant else ""
            self._add(path, _is_not(tree, Kind(_or(options))) + hint)
            return _BROKEN
        return self._leaf(annotation, metadata, tree, path)

    def _union(self, members: tuple[Any, ...], metadata: tuple[Any, ...], tree: Tree, path: Path) -> object:
        if tree is None and NoneType in members:
            return None
        leaves = []
        for member in members:
            bare = _base(member)
            if isinstance(bare, type) and issubclass(bare, BaseModel):
                if isinstance(tree, dict):
                    return self._value(member, (), tree, path)
            elif get_origin(bare) is tuple:
                if isinstance(tree, tuple):
                    return self._value(member, (), tree, path)
            elif bare is not NoneType:
                leaves.append(member)
        kind = _kind(metadata)
        if kind is None:
            return self._value(next(m for m in members if m is not NoneType), metadata, tree, path)
        for leaf in leaves:
            try:
                return _adapter(leaf).validate_python(tree, strict=True)
            except ValidationError as error:
                words = _own_words(error.errors(include_url=False)[0])
                if words and isinstance(tree, str) and len(leaves) == 1:
                    self._add(path, words)
                    return _BROKEN
        self._add(path, _is_not(tree, kind, str if str in map(_base, leaves) else None))
        return _BROKEN

    def _items(self, item: Any, metadata: tuple[Any, ...], tree: Tree, path: Path) -> object:
        if not isinstance(tree, tuple):
            one = "" if isinstance(tree, (dict, NoneType)) else "; a single entry is written in brackets: [...]"
            self._add(path, _is_not(tree, Kind(f"a list{one}")))
            return _BROKEN
        read = [self._value(item, (), value, (*path, index)) for index, value in enumerate(tree)]
        low = next((entry.min_length for entry in metadata if isinstance(entry, MinLen)), 0)
        high = next((entry.max_length for entry in metadata if isinstance(entry, MaxLen)), len(tree))
        if not low <= len(tree) <= high:
            self._add(path, f"has {len(tree) or 'no'} entries; there must be {low} to {high}")
            return _BROKEN
        return _BROKEN if any(isinstance(value, _Broken) for value in read) else tuple(read)

    def _nested(self, cls: type[BaseModel], metadata: tuple[Any, ...], tree: Tree, path: Path) -> BaseModel | _Broken:
        short = next((entry.func for entry in metadata if isinstance(entry, BeforeValidator)), None)
        try:
            return cls.model_validate(short(tree) if short and not isinstance(tree, dict) else tree)  # type: ignore[call-arg, arg-type, unused-ignore]
        except ValidationError:
            pass
        if cls is AcceptedPrefix and isinstance(tree, str):
            field = cls.model_fields["prefix"]
            self._value(field.annotation, field.metadata, tree, path)
            return _BROKEN
        return self._salvage(cls, tree, path, _kind(metadata))

    def _leaf(self, annotation: Any, metadata: tuple[Any, ...], tree: Tree, path: Path) -> object:
        full = Annotated[(annotation, *metadata)] if metadata else annotation
        try:
            return _adapter(full).validate_python(tree, strict=True)
        except ValidationError as error:
            kind = _kind(metadata) or Kind("what belongs here")
            words = _own_words(error.errors(include_url=False)[0])
            self._add(
                path, words if words and not kind.secret and tree is not None else _is_not(tree, kind, annotation)
            )
            return _BROKEN


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _kind(metadata: Iterable[Any]) -> Kind | None:
    return next((entry for entry in metadata if isinstance(entry, Kind)), None)


def _own_words(detail: Mapping[str, Any]) -> str | None:
    """What a validator of ours said; None where pydantic speaks."""
    error = detail.get("ctx", {}).get("error")
    return str(error) if isinstance(error, ValueError) else None


def _base(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_not(tree: Tree, kind: Kind, wanted: Any = None) -> str:
    """That a value is not what belongs here, and what may have gone wrong; `wanted` is the type of what does."""
    if tree is None:
        return f"is empty; what belongs here is {kind.text}"
    if kind.secret:
        return f"this is not {kind.text}"
    if wanted is str and isinstance(tree, (bool, int)):
        return f"{shown(tree)} is read as a {'truth value' if isinstance(tree, bool) else 'number'}; put it in quotes"
    hint = ""
    if wanted is int and isinstance(tree, str) and _NUMBER.match(tree):
        hint = "; write it without quotes"
    if wanted is bool and isinstance(tree, str) and tree.lower() in {"yes", "no", "on", "off", "y", "n"}:
        hint = "; in YAML 1.2 that is mere text"
    return f"{shown(tree)} is not {kind.text}{hint}"


def _or(options: list[str]) -> str:
    return ", ".join(options[:-1]) + " or " + options[-1] if len(options) > 1 else options[0]


def _closest(word: str, options: Collection[str]) -> str | None:
    plain = word[:60].lower().replace("-", "_")
    if plain in options:
        return plain
    return next(iter(get_close_matches(plain, options, n=1, cutoff=0.7)), None)


@lru_cache(256)
def _elsewhere(cls: type[BaseModel], key: str) -> str:
    """Where a key belongs that is unknown in `cls`, but known in a part of it."""
    for name, field in cls.model_fields.items():
        for inner in _models_in(field.annotation):
            if key in inner.model_fields:
                return f"; it belongs under {name!r}"
    return ""


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _models_in(part)


def did_you_mean(word: str, options: Collection[str]) -> str:
    """`; did you mean 'fra-1'?`, or nothing where no option is near."""
    near = get_close_matches(word[:60], options, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
