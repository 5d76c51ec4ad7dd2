"""From the file's tree to models, piece by piece: what is wrong is said in an engineer's words, what is right is kept.

Every field's problem is said, and the rest is kept: a model that lacks just its broken attributes. The checks run on
such a model too, and pass over what they cannot know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from dcedge.order.field_types import NAME_PATTERN, Entries, FieldType, NotOfTypeError, Short
from dcedge.order.findings import Path, Problem
from dcedge.order.model import (
    AcceptedPrefix,
    AddressPair,
    Agent,
    BfdTimers,
    Bgp,
    BondPort,
    CardPort,
    Connection,
    Credential,
    Order,
    Probe,
    Router,
    Shaping,
    VirtualGateway,
    VirtualInterface,
)
from dcedge.units import shown

T = TypeVar("T")
Tree: TypeAlias = "bool | int | str | tuple[Tree, ...] | dict[str, Tree] | None"

SECTIONS: Mapping[str, type[Any]] = {
    "connections": Connection,
    "virtual_gateways": VirtualGateway,
    "virtual_interfaces": VirtualInterface,
}
MAX_PROBLEMS = 10_000

_NOUNS: Mapping[type[Any], str] = {
    Router: "router",
    Agent: "agent",
    Connection: "connection",
    BondPort: "bond",
    CardPort: "port",
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


class Draft:
    """An order in the making: fed by the loader, complete (as far as it goes) after `finish`."""

    def __init__(self, previous: Order | None) -> None:
        self.order = _lacking(Order, connections={}, virtual_gateways={}, virtual_interfaces={}, digests={})
        self.problems: list[Problem] = []
        self._previous = previous
        self._tops: set[str] = set()

    @property
    def whole(self) -> bool:
        """Whether nothing had to be left out."""
        return not self.problems

    def entry(self, section: str, name: str, tree: Tree) -> None:
        """One entry of a section; the model that `previous` has of the same text is used again."""
        key = (section, name)
        if not _NAME.match(name):
            self.add(key, f"{shown(name)} is not a name (1-40 small letters, digits and '-', no '-' first)", part="key")
        digest = hashlib.blake2b(repr(tree).encode("utf-8", "surrogatepass"), digest_size=12).digest()
        models: dict[str, object] = getattr(self.order, section)
        if self._previous is not None and self._previous.digests.get(key) == digest:
            models[name] = getattr(self._previous, section)[name]
        else:
            models[name] = self.model(SECTIONS[section], tree, key)
        self.order.digests[key] = digest

    def top(self, key: str, tree: Tree) -> None:
        """A key of the file that is not a section with entries."""
        if key in self._tops:
            return
        self._tops.add(key)
        if key == "router":
            _set(self.order, router=self.model(Router, tree, (key,)))
        elif key == "agent":
            _set(self.order, agent=Agent() if tree is None else self.model(Agent, tree, (key,)))
        elif key not in SECTIONS:
            self.unknown(key, (key,), _ROUTER_KEYS)
        elif tree is not None:
            noun = _NOUNS[SECTIONS[key]]
            self.add((key,), f"{shown(tree)} is not a map from each {noun}'s name to what it is")

    def finish(self) -> None:
        """After the last piece: what is not there at all."""
        if "router" not in self._tops:
            self.add(("router",), "is missing; an order needs it, with the keys asn and router_id")
        if "agent" not in self._tops:
            _set(self.order, agent=Agent())

    def add(self, path: Path, message: str, part: Literal["key", "value"] = "value") -> None:
        """Note a problem. Raises TooManyProblemsError."""
        self.problems.append(Problem(path, message, part))
        if len(self.problems) >= MAX_PROBLEMS:
            raise TooManyProblemsError

    def unknown(self, key: str, path: Path, options: Collection[str], cls: type[Any] | None = None) -> str | None:
        """Note an unknown key; the option that it was most likely meant to be, if any."""
        meant = _closest(key, options) or (_SYNONYMS.get(key) if _SYNONYMS.get(key) in options else None)
        within = _elsewhere(cls, key) if cls is not None and not meant else ""
        hint = f"; did you mean {meant!r}?" if meant else within or f"; known here: {', '.join(options)}"
        self.add(path, f"unknown key {shown(key)}{hint}", part="key")
        return meant

    def model(self, cls: type[T], tree: Tree, path: Path, field_type: FieldType | None = None) -> T:
        """A model with what is right of a tree; attributes that are not are absent."""
        form = _form(cls)
        if not isinstance(tree, dict):
            needed = [name for name, field in form.items() if field.needed]
            keys = f" with the keys {', '.join(needed)}" if needed else ""
            self.add(path, _is_not(tree, field_type or FieldType(f"a {_NOUNS[cls]}: a map{keys}")))
            return _lacking(cls)
        noted = len(self.problems)
        values, absent = self._values(cls, form, tree, path)
        if len(self.problems) == noted:
            try:
                return cls(**values)
            except ValueError as error:  # what it says of itself once each of its fields is right
                self.add(path, str(error))
        defaults = {name: field.default for name, field in form.items() if not field.needed and name not in absent}
        return _lacking(cls, **(defaults | values))

    def _values(
        self, cls: type[Any], form: Mapping[str, _Field], tree: dict[str, Tree], path: Path
    ) -> tuple[dict[str, Any], set[str]]:
        """The good fields' values, and the names of the broken ones. A misspelt key breaks the one it was to be."""
        values: dict[str, Any] = {}
        absent: set[str] = set()
        for key, value in tree.items():
            field = form.get(key)
            if field is None:
                if meant := self.unknown(key, (*path, key), form, cls):
                    absent.add(meant)
                continue
            read = field.read(self, value, (*path, key))
            if read is _BROKEN:
                absent.add(key)
            else:
                values[key] = read
        absent -= values.keys()
        for name, field in form.items():
            if field.needed and name not in values and name not in absent:
                self.add((*path, name), f"is missing; every {_NOUNS[cls]} needs it", part="key")
                absent.add(name)
        return values, absent


# How a value is read: it is given the draft for what is wrong, the file's tree and its path.
_Reader: TypeAlias = Callable[[Draft, Tree, Path], object]


@dataclass(frozen=True, slots=True)
class _Field:
    read: _Reader
    needed: bool
    default: object


_forms: dict[type[Any], Mapping[str, _Field]] = {}


def _form(cls: type[Any]) -> Mapping[str, _Field]:
    """A model's fields by name."""
    if cls not in _forms:
        hints = get_type_hints(cls, include_extras=True)
        _forms[cls] = {
            field.name: _Field(_reader(hints[field.name]), field.default is MISSING, field.default)
            for field in fields(cls)
        }
    return _forms[cls]


def _lacking(cls: type[T], **values: object) -> T:
    """A model with these attributes only."""
    model = object.__new__(cls)
    _set(model, **values)
    return model


def _set(model: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(model, name, value)


def _reader(annotation: Any, metadata: tuple[Any, ...] = ()) -> _Reader:
    """What reads values of a type."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _reader(inner, (*more, *metadata))
    field_type = next((entry for entry in metadata if isinstance(entry, FieldType)), None)
    if field_type is not None and field_type.read is not None:
        return _leaf(field_type, field_type.read, annotation)
    if origin in {Union, UnionType}:
        return _one_of(get_args(annotation), field_type)
    if origin is tuple:
        return _list(get_args(annotation)[0], next((entry for entry in metadata if isinstance(entry, Entries)), None))
    if origin is Literal:
        return _choice(get_args(annotation))
    return _part(annotation, field_type, next((entry.key for entry in metadata if isinstance(entry, Short)), None))


def _leaf(field_type: FieldType, make: Callable[[object], object], wanted: Any) -> _Reader:
    def read(draft: Draft, tree: Tree, path: Path) -> object:
        try:
            return make(tree)
        except ValueError as error:
            own = not (isinstance(error, NotOfTypeError) or field_type.secret or tree is None)
            draft.add(path, str(error) if own else _is_not(tree, field_type, wanted))
            return _BROKEN

    return read


def _choice(options: tuple[str, ...]) -> _Reader:
    field_type = FieldType(_or(options))

    def read(draft: Draft, tree: Tree, path: Path) -> object:
        if tree in options:
            return tree
        meant = _closest(tree, options) if isinstance(tree, str) else None
        draft.add(path, _is_not(tree, field_type) + (f"; did you mean {meant}?" if meant else ""))
        return _BROKEN

    return read


def _list(item: Any, bounds: Entries | None) -> _Reader:
    read_item = _reader(item)

    def read(draft: Draft, tree: Tree, path: Path) -> object:
        if not isinstance(tree, tuple):
            one = "" if isinstance(tree, (dict, NoneType)) else "; a single entry is written in brackets: [...]"
            draft.add(path, _is_not(tree, FieldType(f"a list{one}")))
            return _BROKEN
        values = tuple(read_item(draft, value, (*path, index)) for index, value in enumerate(tree))
        if bounds is not None and not bounds.low <= len(tree) <= bounds.high:
            draft.add(path, f"has {len(tree) or 'no'} entries; there must be {bounds.low} to {bounds.high}")
            return _BROKEN
        return _BROKEN if _BROKEN in values else values

    return read


def _part(cls: type[Any], field_type: FieldType | None, short: str | None) -> _Reader:
    form = _form(cls)

    def read(draft: Draft, tree: Tree, path: Path) -> object:
        if short is not None and isinstance(tree, str):
            value = form[short].read(draft, tree, path)
            return value if value is _BROKEN else cls(**{short: value})
        return draft.model(cls, tree, path, field_type)

    return read


def _one_of(members: tuple[Any, ...], field_type: FieldType | None) -> _Reader:
    """What reads one of several forms: a map and a list are told by their shape, the others are tried."""
    optional = NoneType in members
    forms = [member for member in members if member is not NoneType]
    if field_type is None:
        only = _reader(forms[0])
        return lambda draft, tree, path: None if optional and tree is None else only(draft, tree, path)
    shapes: dict[type, _Reader] = {}
    maps: list[type[Any]] = []
    makers: list[Callable[[object], object]] = []
    for member in forms:
        bare = _base(member)
        if get_origin(bare) is tuple:
            shapes[tuple] = _reader(member)
        elif bare in _NOUNS:
            maps.append(bare)
            shapes[dict] = _map_reader(maps)
        else:
            makers.append(_maker(member))
    wanted = str if str in map(_base, forms) else None

    def read(draft: Draft, tree: Tree, path: Path) -> object:
        if optional and tree is None:
            return None
        if (shaped := shapes.get(type(tree))) is not None:
            return shaped(draft, tree, path)
        words = None
        for make in makers:
            try:
                return make(tree)
            except NotOfTypeError:
                pass
            except ValueError as error:
                words = str(error) if len(makers) == 1 and isinstance(tree, str) else None
        draft.add(path, words or _is_not(tree, field_type, wanted))
        return _BROKEN

    return read


def _map_reader(models: Sequence[type[Any]]) -> _Reader:
    """What reads a map as the model of which it has the most keys, of several the first."""

    def read(draft: Draft, tree: Tree, path: Path) -> object:
        assert isinstance(tree, dict)
        return draft.model(max(models, key=lambda model: len(tree.keys() & _form(model).keys())), tree, path)

    return read


def _maker(annotation: Any) -> Callable[[object], object]:
    """What makes a single value, and raises ValueError: of a FieldType, or one of the words of a Literal."""
    for entry in getattr(annotation, "__metadata__", ()):
        if isinstance(entry, FieldType) and entry.read is not None:
            return entry.read
    options = get_args(annotation)

    def make(value: object) -> object:
        if value not in options:
            raise NotOfTypeError
        return value

    return make


def _base(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_not(tree: Tree, field_type: FieldType, wanted: Any = None) -> str:
    """That a value is not what belongs here, and what may have gone wrong; `wanted` is the type of what does."""
    if tree is None:
        return f"is empty; what belongs here is {field_type.text}"
    if field_type.secret:
        return f"this is not {field_type.text}"
    if wanted is str and isinstance(tree, (bool, int)):
        return f"{shown(tree)} is read as a {'truth value' if isinstance(tree, bool) else 'number'}; put it in quotes"
    hint = ""
    if wanted is int and isinstance(tree, str) and _NUMBER.match(tree):
        hint = "; write it without quotes"
    if wanted is bool and isinstance(tree, str) and tree.lower() in {"yes", "no", "on", "off", "y", "n"}:
        hint = "; in YAML 1.2 that is mere text"
    return f"{shown(tree)} is not {field_type.text}{hint}"


def _or(options: Sequence[str]) -> str:
    return ", ".join(options[:-1]) + " or " + options[-1] if len(options) > 1 else options[0]


def _closest(word: str, options: Collection[str]) -> str | None:
    plain = word[:60].lower().replace("-", "_")
    if plain in options:
        return plain
    return next(iter(get_close_matches(plain, options, n=1, cutoff=0.7)), None)


def _elsewhere(cls: type[Any], key: str) -> str:
    """Where a key belongs that is unknown in a model, but known in a part of it."""
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        if any(key in _form(part) for part in _models_in(hints[field.name])):
            return f"; it belongs under {field.name!r}"
    return ""


def _models_in(annotation: Any) -> Iterable[type[Any]]:
    if annotation in _NOUNS:
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _models_in(part)


def did_you_mean(word: str, options: Collection[str]) -> str:
    """`; did you mean 'fra-1'?`, or nothing where no option is near."""
    near = get_close_matches(word[:60], options, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
