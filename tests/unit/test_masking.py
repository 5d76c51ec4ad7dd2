"""Secrets are hidden by what they are, wherever a line of ours was cut, and however it was escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcedge.frr.state import escape
from dcedge.logging.masking import SecretValues, hide, hold

KEY = "TVALUE-of/4711"
UNHURRIED = settings(deadline=None)
# What stands around a secret here shares no four characters with one.
secrets = st.text(alphabet="ABCDEFGHKLMNPQRSTUVWXYZ2345789!#$%&'()+-./<=>?@[\\]^_`{|}~\"", min_size=4, max_size=80)


def told(text: str, *values: str) -> str:
    known = SecretValues()
    held = [known.hold(value) for value in values]
    assert len(held) == len(values)
    return known.hide(text)


def left_over(secret: str, text: str, length: int) -> set[str]:
    """The pieces of so many characters of a secret that are in a text."""
    return {piece for at in range(len(secret) - length + 1) if (piece := secret[at : at + length]) in text}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("neighbor 10.0.0.1 password TVALUE-of/4711", "neighbor 10.0.0.1 password ***"),
        ("xTVALUE-of/4711x", "x***x"),
        # A beginning, at a word's beginning.
        ("neighbor 10.0.0.1 password TVAL", "neighbor 10.0.0.1 password ***"),
        (
            "neighbor 10.0.0.1 password TVALcription to the office",
            "neighbor 10.0.0.1 password ***cription to the office",
        ),
        ("(TVALUE…", "(***…"),
        # An end, at a word's end.
        ("line 12: % Unknown command: 4711", "line 12: % Unknown command: ***"),
        (" neighbor 10.0.0.1 remote-as 6/4711\n exit", " neighbor 10.0.0.1 remote-as 6***\n exit"),
        # Both cut off.
        ("% Unknown command: LUE-o", "% Unknown command: ***"),
        ("remote-as 6VALUE-of/471neighbor", "remote-as 6***neighbor"),
        ("xVALUE-ofx", "x***x"),
        # Too little to tell anything, or no piece of it.
        ("TVA 711 xTVALUE- LUE-ox ALUE 471 xALUE-ofx", "TVA 711 xTVALUE- LUE-ox ALUE 471 xALUE-ofx"),
        ("the value of 4712", "the value of 4712"),
        ("", ""),
    ],
)
def test_pieces_of_a_secret(text: str, left: str) -> None:
    assert told(text, KEY) == left


@pytest.mark.parametrize(
    ("secret", "text", "left"),
    [
        ("up", "up, uplink, backup: up", "***, uplink, backup: ***"),
        ("abcdef", "xabcdefx abc cdef", "x***x abc ***"),
        ("x", "it is x", "it is ***"),
        ("", "nothing", "nothing"),
    ],
)
def test_short_secrets_are_hidden_whole(secret: str, text: str, left: str) -> None:
    assert told(text, secret) == left


def test_several_secrets_are_hidden_each_and_where_they_overlap() -> None:
    assert told("a Kaiserlei-101, a Griesheim-201.", "Kaiserlei-101", "Griesheim-201") == "a ***, a ***."
    assert told("ABCDEFGHIJKL", "ABCDEFGH", "EFGHIJKL") == "***"
    assert told("ABCDEFGHIJKL", "ABCD", "EFGH", "IJKL") == "***"


@UNHURRIED
@given(secrets, st.integers(0, 80), st.booleans())
def test_a_line_cut_anywhere_shows_no_piece_of_the_secret(secret: str, cut: int, escaped: bool) -> None:
    head, tail = secret[:cut], secret[cut:]
    for text in (
        f"neighbor 10.0.0.1 password {head}",
        f"neighbor 10.0.0.1 password {head}ighbor 10.0.0.1 timers",
        f"{tail}\n exit",
        f"line 7: % Unknown command: {tail}",
        f" remote-as 6{tail}\n",
    ):
        said = told(escape(text) if escaped else text, secret)
        assert left_over(secret, said, 4) == set()


@UNHURRIED
@given(secrets, st.integers(0, 80), st.integers(0, 80))
def test_what_is_left_where_both_ends_are_cut_off_is_hidden_too(secret: str, cut: int, end: int) -> None:
    said = told(f"line 7: % Unknown command: {secret[cut:end]}", secret)
    assert left_over(secret, said, 5) == set()


ESCAPES: dict[str, Callable[[str], str]] = {
    "JSON": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON of FRR's": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    "repr": lambda text: repr(text)[1:-1],
    "HTML": html.escape,
    "HTML between tags": lambda text: html.escape(text).replace("&#x27;", "'"),
    "HTML in decimal": lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    "a URL": lambda text: quote(text, safe=""),
    "a URL's path": quote,
    "a form": quote_plus,
    "a URL in small letters": lambda text: "".join(
        c if quote(c, safe="") == c else quote(c, safe="").lower() for c in text
    ),
    "ours": escape,
    "Prometheus": lambda text: text.replace("\\", "\\\\").replace('"', '\\"'),
    "YAML": lambda text: text.replace("'", "''"),
}


@UNHURRIED
@pytest.mark.parametrize("way", ESCAPES)
@given(
    secret=secrets | st.text(st.characters(min_codepoint=0x21, exclude_categories=("Z", "C")), min_size=4, max_size=40)
)
@example(secret="""a/b"c\\d'e&f<'g>h%i'j""")
def test_it_is_hidden_however_it_is_escaped(way: str, secret: str) -> None:
    assert told(f"said: {ESCAPES[way](secret)} and more", secret) == "said: *** and more"


def test_it_is_hidden_as_long_as_anybody_holds_it_and_a_while_after() -> None:
    known = SecretValues(past_max=10)
    lasting = known.hold("Kaiserlei-101")
    again = known.hold("Kaiserlei-101")
    assert again is lasting
    del again
    for number in range(1000):
        known.hold(f"of-the-past-{number}")  # nobody holds what comes of it
    assert known.hide("Kaiserlei-101, of-the-past-999") == "***, ***"
    del lasting
    for number in range(1000, 1100):
        known.hold(f"of-the-past-{number}")
    assert known.hide("Kaiserlei-101") == "Kaiserlei-101"


def test_what_was_read_again_is_remembered_longer() -> None:
    known = SecretValues(past_max=4)
    lasting = known.hold("Kaiserlei")
    for value in ("Galluswarte", "Niederrad", "Bornheim", lasting.value, "Hoechst"):
        known.hold(value)
    del lasting
    known.hold("Riedberg")
    assert known.hide("Kaiserlei, Galluswarte, Bornheim, Hoechst") == "***, Galluswarte, Bornheim, ***"


def test_keys_that_are_exchanged_for_ever_take_no_memory_for_ever() -> None:
    known = SecretValues(past_max=20)
    for turn in range(50):
        held = [known.hold(f'{number}"/{turn}' * 3) for number in range(10)]
        held.append(known.hold(str(turn)[-1]))
        assert all(known.hide(one.value) == "***" for one in held)
    counts = (known._fours, known._beginnings, known._ends, known._short, known._tiny)
    assert len(known._known) <= len(held) + 20 + 1
    assert sum(map(len, counts)) < 20 * 41 * len(ESCAPES)
    assert min(count for counted in counts for count in counted.values()) > 0
    known = SecretValues(past_max=0)
    known.hold("Kaiserlei-101")
    known.hold("")
    assert not known._fours
    assert not known._ends


def test_one_that_comes_back_is_hidden_again() -> None:
    known = SecretValues(past_max=2)
    for _ in range(3):
        for value in ("Kaiserlei-101", "Griesheim-201", "Schwanheim-4711", "Fechenheim-88"):
            known.hold(value)
            assert known.hide(f"it is {value}") == "it is ***"


def test_all_of_dcedge_shares_what_is_known() -> None:
    assert hide("it is Kaiserlei-101") == "it is Kaiserlei-101"
    held = hold("Kaiserlei-101")
    assert hide(f"it is {held.value}") == "it is ***"
