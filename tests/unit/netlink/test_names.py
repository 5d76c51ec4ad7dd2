"""Numbers of the kernel's protocols come from pyroute2: none that it names is declared again."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from pyroute2 import netlink, protocols
from pyroute2.netlink import diag, generic, nfnetlink, rtnl

ROOT = Path(__file__).parents[3]


def modules() -> Iterator[ModuleType]:
    """pyroute2's modules for route netlink, tc, nfnetlink, ethtool and sock_diag."""
    yield from (netlink, protocols)
    for package in (rtnl, nfnetlink, generic, diag):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def attribute_numbers(form: type, seen: set[type]) -> Iterator[tuple[str, int]]:
    """The numbers of a message's attributes, and those of the classes in it."""
    if form in seen:
        return
    seen.add(form)
    entries = getattr(form, "nla_map", None)
    for place, entry in enumerate(entries if isinstance(entries, tuple) else ()):
        yield (entry[1], entry[0]) if isinstance(entry[0], int) else (entry[0], place)
    for inner in vars(form).values():
        if isinstance(inner, type):
            yield from attribute_numbers(inner, seen)


@cache
def named() -> dict[str, set[int]]:
    """All that pyroute2 has a name for, and its number: it has more than one of some names."""
    found: dict[str, set[int]] = {}
    seen: set[type] = set()
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__.startswith("pyroute2."):
                for attribute, number in attribute_numbers(value, seen):
                    found.setdefault(attribute, set()).add(number)
            elif isinstance(value, int) and name.isupper():
                found.setdefault(name, set()).add(value)
    return found


@cache
def endings() -> dict[str, dict[int, str]]:
    """The names by how they end, of two words and more: a private copy is often called so, without the prefix."""
    found: dict[str, dict[int, str]] = {}
    for name, numbers in named().items():
        words = name.strip("_").split("_")
        for start in range(len(words) - 1):
            for number in numbers:
                found.setdefault("_".join(words[start:]), {})[number] = name
    return found


def declared(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each name in capitals that a module or a class gives a value to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from pairs(target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from pairs(node.target, node.value)


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, each in zip(target.elts, value.elts, strict=False):
            yield from pairs(one, each)
    elif isinstance(target, ast.Name) and target.id.isupper():
        yield target.id, value


def written_number(value: ast.expr) -> int | None:
    """The number that an expression of nothing but numbers comes to."""
    if any(isinstance(node, ast.Name | ast.Attribute | ast.Call) for node in ast.walk(value)):
        return None
    try:
        found = eval(compile(ast.Expression(value), "", "eval"), {})  # noqa: S307 - our own source, of literals alone
    except TypeError:
        return None
    return found if type(found) is int else None


def copies(text: str) -> list[str]:
    """The numbers that a source declares although pyroute2 names them."""
    found = []
    for name, value in declared(ast.parse(text)):
        number, plain = written_number(value), name.strip("_")
        if number is None:
            continue
        if plain in named():
            found.append(f"{name} = {number}: pyroute2 has it")
        elif number in endings().get(plain, {}):
            found.append(f"{name} = {number}: pyroute2 has it as {endings()[plain][number]}")
    return found


def test_no_number_that_pyroute2_names_is_declared_again() -> None:
    sources = [
        path for folder in ("agent/dcedge", "package", "tests") for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    found = {str(path.relative_to(ROOT)): again for path in sources if (again := copies(path.read_text()))}
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "RTM_NEWLINK, RTM_DELLINK = 16, 17",
        "_NLM_F_REQUEST = 1",
        "IFLA_IFNAME: int = 3",
        "class Number:\n    TCA_HTB_RATE64 = 6",
        "_LINKMODES_GET = 4",
        "_EEPROM_OFFSET = 2",
        "SOCK_DIAG_BY_FAMILY = 0x14",
        "_GROUP = 1\n_SUBSYS_NFTABLES = 5 << 1",
    ],
)
def test_a_copy_is_found_whatever_it_is_called(source: str) -> None:
    assert len(copies(source)) >= 1


def test_numbers_of_our_own_are_no_copies() -> None:
    assert copies("ROUTE_PROTOCOL = 0xDC\n_BATCH = 64\nRTM_LOOKS = {RTM_GETLINK}") == []
