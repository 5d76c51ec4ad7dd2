"""The table of mutants names pieces of code that are there, and tests that are there."""

from __future__ import annotations

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_about_just_one_place(mutant: Mutant) -> None:
    assert (ROOT / "agent/dcedge" / mutant.file).read_text().count(mutant.piece) == 1, "put the mutant right"
    assert all((ROOT / test).exists() for test in mutant.tests)
