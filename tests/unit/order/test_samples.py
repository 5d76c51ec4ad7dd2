"""The samples under config/, the schema that editors use, and the page that explains every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from dcedge.order.load import load_order, parse_order
from dcedge.order.profiles import PROFILES
from dcedge.order.resolve import resolve_interface
from dcedge.order.schema import order_schema
from tests.unit.order.orders import GOOD, broken

CONFIG = Path(__file__).parents[3] / "config"
SAMPLES = sorted(CONFIG.glob("order*.yaml"))


def _errors(text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(order_schema()).iter_errors(yaml.safe_load(text))]


def test_there_is_a_sample_for_each_provider() -> None:
    assert {sample.stem for sample in SAMPLES} == {"order"} | {
        f"order-{name}" for name in PROFILES if name != "generic"
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_is_good_without_a_warning_and_says_where_it_ends(sample: Path) -> None:
    loaded = load_order(sample)
    assert loaded.warnings == ()
    assert loaded.ended
    for name, vi in loaded.order.virtual_interfaces.items():
        assert resolve_interface(loaded.order, name).sessions or vi.static


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_schema_knows_every_sample(sample: Path) -> None:
    assert _errors(sample.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vlan: 101", "vlna: 101"),
        ("vlan: 101", "vlan: 4095"),
        ("bandwidth: 500M\n", "bandwidth: 500\n"),
        ("provider: otc", "provider: otk"),
        ("  prod-b:\n", "  Prod_B:\n"),
        ("port: eth4", "over: null"),
        ("{credential: prod-a}", "{}"),
        ("{prefix: 10.30.0.0/16, le: 24}", "{le: 24}"),
    ],
)
def test_the_schema_marks_mistakes(old: str, new: str) -> None:
    assert _errors(GOOD) == []
    assert _errors(broken((old, new)))


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for definition in (schema, *schema["$defs"].values()):
        yield from definition["properties"].items()


@pytest.mark.parametrize("page", sorted(CONFIG.rglob("*.md")), ids=lambda page: page.name)
def test_the_orders_of_a_page_are_good_and_whole(page: Path) -> None:
    blocks = re.findall(r"^```yaml\n(router: .*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert bool(blocks) == (page.name == "two-routers.md")
    for block in blocks:
        assert parse_order(block, page.name).ended


def test_the_schema_is_one_and_describes_every_key() -> None:
    schema = order_schema()
    Draft202012Validator.check_schema(schema)
    for key, field in _keys(schema):
        assert field.get("description") or "$ref" in field, f"{key} has no description"


def test_the_page_explains_every_key_and_every_profile() -> None:
    page = (CONFIG / "README.md").read_text(encoding="utf-8")
    for key, _ in _keys(order_schema()):
        assert f"`{key}`" in page, f"config/README.md does not explain {key}"
    for profile in PROFILES.values():
        assert profile.name in page
        for figure in (*profile.mtus, profile.receive_limit, profile.multihop):
            assert str(figure) in page
