"""Links from page to page lead somewhere, and every decision is in their list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "config").rglob("*.md"), *(ROOT / "docs").rglob("*.md")})
DECISIONS = ROOT / "docs/decisions"
SECTIONS = ["## Why there is a choice", "## What we do", "## What follows"]


def anchors(page: Path) -> set[str]:
    """The names of a page's titles, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_title_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            there = (page.parent / name).resolve() if name else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


def test_every_decision_is_listed_under_its_title_and_says_why_what_and_what_follows() -> None:
    listed = (DECISIONS / "README.md").read_text()
    for record in sorted(DECISIONS.glob("[0-9]*.md")):
        text = record.read_text()
        number, _, title = text.splitlines()[0].removeprefix("# ").partition(": ")
        assert record.name.startswith(f"{number}-")
        assert f"| [{number}]({record.name}) | {title} |" in listed
        assert re.search(r"^Status: (accepted|superseded)", text, re.MULTILINE)
        assert re.findall(r"^## .+$", text, re.MULTILINE) == SECTIONS
