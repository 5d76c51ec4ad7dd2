"""Which part of the package may lean on which: imports go downwards only, and in no circle."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "agent" / "dcedge"
# From the bottom up. What stands in one line may import what is left of it; those at the bottom, each other.
BOTTOM = ("errors", "units", "logging", "settings")
LAYERS = (
    BOTTOM,
    ("plan",),
    ("order",),
    ("netlink",),
    ("kernel", "probe", "firewall", "frr", "measure"),
    ("reconcile",),
    ("monitor",),
    ("api",),
    ("daemon", "explain", "cli"),
)
PLACES = [name for layer in LAYERS for name in layer]
HEIGHTS = {name: max(0, place - len(BOTTOM) + 1) for place, name in enumerate(PLACES)}
IN_THE_ROOT = {"__init__", "__main__", "errors", "units", "settings"}
OF_A_RESOURCE = {"resource", "derive", "observe", "apply", "view"}
SIDE_BY_SIDE = {"explain": {"daemon"}}  # neither knows the other


def imports(path: Path) -> Iterator[str]:
    """The parts of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == "dcedge":
            below = node.module.split(".")[1:]
            yield from below[:1] if below else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dcedge."))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def test_no_part_leans_on_one_above_it() -> None:
    upwards = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(ROOT.rglob("*.py"))
        if (part := part_of(path)) in PLACES
        for name in imports(path)
        if name in PLACES and (HEIGHTS[name] > HEIGHTS[part] or name in SIDE_BY_SIDE.get(part, ()))
    ]
    assert upwards == []


def test_the_root_holds_nothing_beside_what_all_lean_on() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == IN_THE_ROOT
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(PLACES)


def test_modules_import_each_other_in_no_circle() -> None:
    """Within a part too; what a function imports when it is called counts as well."""
    modules = {".".join(p.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): p for p in files()}
    leans_on = {name: set(modules_of(path, modules)) - {name} for name, path in modules.items()}
    while free := [name for name, others in leans_on.items() if not others & leans_on.keys()]:
        for name in free:
            del leans_on[name]
    assert leans_on == {}


def files() -> Iterator[Path]:
    """Every module of the package."""
    return ROOT.rglob("*.py")


def modules_of(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in named if node.module in modules)


def test_no_file_has_more_than_450_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files()}
    assert {path: lines for path, lines in lengths.items() if lines > 450} == {}


def test_almost_all_functions_fit_on_half_a_screen() -> None:
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    )
    assert lengths[int(0.95 * len(lengths))] <= 30


def test_a_class_is_the_only_one_of_its_name() -> None:
    names = Counter(
        node.name
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_file_name_comes_back_only_where_it_means_the_same_of_another_resource_or_layer() -> None:
    names = Counter(
        path.stem
        for path in files()
        if path.stem not in {"__init__", *OF_A_RESOURCE}
        and str(path.parent.relative_to(ROOT)) != "explain/layers"  # of which each has its rule in monitor/health/rules
    )
    assert [name for name, times in names.items() if times > 1] == []
