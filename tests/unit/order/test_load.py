"""The loader: every problem at once, files that are no order, and reloads that cost little."""

from __future__ import annotations

import os
import re
import tracemalloc
from pathlib import Path

import pytest
import yaml

from dcedge.order.findings import Finding, OrderInvalidError
from dcedge.order.load import MAX_BYTES, load_order, parse_order
from tests.unit.order.orders import GOOD, broken, findings, lines

MISTAKES = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.1/24]}
connections:
  fra-1: {provider: otc, port: eth1, bandwith: 10G}
  fra-2: {provider: otx, port: eth2, bandwidth: 10G}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prodd
    vlan: 4095
    bandwidth: 500
    addresses: [{customer: 10.255.101.3/30, cloud: 10.255.101.1}]
    bgp: {password: hunter2, bfd: yes}
  prod-b:
    connection: fra-1
    virtual_gateway: prod
    bandwidth: 100M
    addresses: [{customer: 10.255.102.2/30, cloud: 10.255.103.1}]
    static: [10.40.0.0/16]
    admin: upp
    admin: down
"""


def test_every_mistake_is_a_line_of_one_run() -> None:
    with pytest.raises(OrderInvalidError) as caught:
        parse_order(MISTAKES, "order.yaml")
    assert str(caught.value).splitlines() == [
        "order.yaml:1:57: router.advertise[0]: '192.0.2.1/24' has bits set beyond its length; "
        "did you mean 192.0.2.0/24?",
        "order.yaml:3:38: connections.fra-1.bandwith: unknown key 'bandwith'; did you mean 'bandwidth'?",
        "order.yaml:4:21: connections.fra-2.provider: 'otx' is not a known provider (aws, azure, gcp, generic, huawei, "
        "otc); did you mean 'otc'?",
        "order.yaml:10:22: virtual_interfaces.prod-a.virtual_gateway: there is no virtual gateway 'prodd'; "
        "did you mean 'prod'?",
        "order.yaml:11:11: virtual_interfaces.prod-a.vlan: 4095 is not a VLAN ID (0-4094)",
        "order.yaml:12:16: virtual_interfaces.prod-a.bandwidth: 500 needs a unit: a rate is written 2M, 500M or 10G "
        "(bits a second)",
        "order.yaml:13:28: virtual_interfaces.prod-a.addresses[0].customer: 10.255.101.3 is the broadcast address of "
        "10.255.101.0/30",
        "order.yaml:14:21: virtual_interfaces.prod-a.bgp.password: this is not {credential: NAME} or {file: PATH}: "
        "a password itself is never written in the order",
        "order.yaml:14:35: virtual_interfaces.prod-a.bgp.bfd: 'yes' is not true, false or "
        "{interval: 300ms, multiplier: 3}",
        "order.yaml:15:3: virtual_interfaces.prod-b.vlan: is missing; every virtual interface needs it",
        "order.yaml:19:52: virtual_interfaces.prod-b.addresses[0].cloud: 10.255.103.1 is not in the customer's subnet "
        "10.255.102.0/30",
        "order.yaml:20:14: virtual_interfaces.prod-b.static[0]: 10.40.0.0/16 is outside what prod may send: "
        "add it to its `accept`",
        "order.yaml:21:12: virtual_interfaces.prod-b.admin: 'upp' is not up, down or planned; did you mean up?",
        "order.yaml:22:5: virtual_interfaces.prod-b.admin: the key is here twice; first in line 21",
    ]


def test_nesting_without_end_is_refused_however_far_the_parser_reads_ahead() -> None:
    (said,) = lines("x: " + "[" * 50_000)
    assert re.fullmatch(r"order\.yaml:1:\d+: is nested deeper than 32 levels; an order never needs that", said)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ("", "order.yaml: is empty: there is no order in it"),
        ("# nothing\n", "order.yaml: is empty: there is no order in it"),
        ("---\n", "order.yaml: is empty: an order is a map with the key `router`"),
        ("- router\n", "order.yaml:1:1: is a list: an order is a map with the key `router`"),
        ("router\n", "order.yaml:1:1: is a single value: an order is a map with the key `router`"),
        (GOOD + "---\nrouter: {}\n", "order.yaml:52:1: a second YAML document begins here; an order is one"),
        (b"router: {asn: 1\xff}\n", "order.yaml:1:16: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("router: {}".encode("utf-16"), "order.yaml:1:1: is UTF-16; save it as UTF-8"),
        ("a: b\nrouter: \x00\n", "order.yaml:2:9: the character U+0000 is not allowed in YAML"),
        ("a: b\nrouter:\n\tasn: 1\n", "order.yaml:3:1: not YAML: a tab; YAML is indented with spaces"),
        (
            "router: {asn: 1, router_id: ::1}\n",
            "order.yaml:1:29: not YAML: within {...} and [...] a value that begins with ':' needs quotes, "
            'such as "::1" (while parsing a flow node that began in line 1)',
        ),
        ("router: @x\n", "order.yaml:1:9: not YAML: '@' cannot begin a value without quotes"),
        (
            "router: {asn: 1\nagent: {}\n",
            "order.yaml:2:6: not YAML: did not find expected ',' or '}' "
            "(while parsing a flow mapping that began in line 1)",
        ),
        ("x: " + "[" * 500, "order.yaml:1:35: is nested deeper than 32 levels; an order never needs that"),
        ("x: &a [*a]\n", "order.yaml:1:8: the alias *a contains itself"),
        (
            "x: [" + "a," * 600_000 + "]\n",
            "order.yaml:1:1000001: here the order passes 500,000 values (aliases expanded); it is not read any further",
        ),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) and value.startswith("order") else "",
)
def test_what_is_no_order_is_refused_in_one_line(contents: str | bytes, expected: str) -> None:
    assert lines(contents) == [expected]


@pytest.mark.parametrize("rest", ["", "\n", "\n\n  \n", " # all of it\n", "\n# nothing more\n", "\r\n", "\n...\n"])
def test_an_order_may_say_where_it_ends(rest: str) -> None:
    assert lines(GOOD + "..." + rest) == []
    assert parse_order(GOOD + "..." + rest, "order.yaml").ended
    assert not parse_order(GOOD, "order.yaml").ended


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("\n  blue-b: {}\n", "53:3"),
        ("\nagent: {}\n", "53:1"),
        (" agent: {}\n", "52:5"),
        ("\n\n}\n", "54:1"),
        ("\n@\n", "53:1"),
        ("\n# more\n- one\n", "54:1"),
    ],
)
def test_text_after_the_end_is_an_error_at_its_place_beside_all_others(rest: str, place: str) -> None:
    said = "text after the end of the order (`...` in line 52); put it before, or take it out"
    assert lines(GOOD + "..." + rest) == [f"order.yaml:{place}: {said}"]
    wrong = broken(("vlan: 101", "vlan: 4095")) + "..." + rest
    assert lines(wrong) == [
        "order.yaml:20:11: virtual_interfaces.prod-a.vlan: 4095 is not a VLAN ID (0-4094)",
        f"order.yaml:{place}: {said}",
    ]


def test_an_alias_bomb_is_refused_quickly_and_in_little_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    tracemalloc.start()
    try:
        said = lines(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said == [
        "order.yaml:6:25: here the order passes 500,000 values (aliases expanded); it is not read any further"
    ]
    assert peak < 2**20


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    order = tmp_path / "order.yaml"
    with order.open("wb") as file:
        file.truncate(50 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(OrderInvalidError, match=r"order.yaml: has 50 MiB; an order of more than 8 MiB is not read"):
            load_order(order)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    with pytest.raises(OrderInvalidError, match="more than 8 MiB"):
        parse_order(b" " * (MAX_BYTES + 1), "order.yaml")


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, expected in (
        ("absent", "cannot be read: No such file or directory"),
        (".", "is a directory, not an order file"),
        ("pipe", "is not a regular file"),
    ):
        with pytest.raises(OrderInvalidError) as caught:
            load_order(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {expected}"
        assert caught.value.findings == (Finding(str(tmp_path / name), 0, 0, "", expected),)


def test_aliases_are_values_like_others() -> None:
    text = broken(
        ("{interval: 300ms, multiplier: 3}", "&timers {interval: 300ms, multiplier: 3}"),
        ("bgp: {cloud_asn: 12076}", "bgp: {cloud_asn: 12076, bfd: *timers}"),
    )
    assert lines(text) == []
    wrong = text.replace("interval: 300ms", "interval: 301")
    assert [line.split(": ")[0] for line in lines(wrong)] == ["order.yaml:25:67", "order.yaml:46:29"]
    assert lines(broken(("mtu: 1500}\n  fra-2", "mtu: *none}\n  fra-2"))) == [
        "order.yaml:7:59: connections.fra-1.mtu: the alias *none has no anchor &none before it"
    ]


VALUES = yaml.safe_load(Path(__file__).with_name("values.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", VALUES, ids=[case["by"].strip() for case in VALUES])
def test_values_that_are_not_what_belongs_there(case: dict[str, str]) -> None:
    assert f"order.yaml:{case['says']}" in lines(broken((case["replace"], case["by"])))


def test_names_of_the_router_are_taken() -> None:
    named = broken(('"127.0.0.1:9478"}', '"127.0.0.1:9478", hosts: [edge.example.net, r1, 3com.example.net]}'))
    assert parse_order(named, "order.yaml").order.agent.hosts == ("edge.example.net", "r1", "3com.example.net")


def test_a_long_value_is_shortened() -> None:
    assert lines(broken(("vlan: 101", "vlan: " + "9" * 5000))) == [
        f"order.yaml:20:11: virtual_interfaces.prod-a.vlan: '{'9' * 59}...' is not a VLAN ID (0-4094); "
        "write it without quotes"
    ]


@pytest.mark.parametrize(
    "written",
    [
        "hunter2",
        "{credential: 'hunter2 '}",
        "{file: hunter2}",
        "[hunter2]",
        "{secret: hunter2}",
        "{hunter: 2, file: hunter2}",
    ],
)
def test_a_password_written_into_the_order_is_never_repeated(written: str) -> None:
    said = "\n".join(lines(broken(("{credential: prod-a}", written))))
    assert "password" in said
    assert "hunter2" not in said


def test_no_message_speaks_of_the_machinery() -> None:
    jargon = re.compile(r"pydantic|Input should|type=|https?:|NoneType|validation|dict|tuple", re.IGNORECASE)
    for scalar in ("null", "true", "-1", "'x'", "[]", "{}", "[1]", "{a: 1}", "99999999999999"):
        for match in re.finditer(r"[a-z_]+: ([^,{}\[\]\n]+)", GOOD):
            text = GOOD[: match.start(1)] + scalar + GOOD[match.end(1) :]
            for finding in findings(text):
                assert finding.line or "is missing" in finding.message, str(finding)
                assert not jargon.search(finding.message), str(finding)


def test_a_broken_thing_still_exists_and_its_good_parts_are_checked() -> None:
    said = lines(broken(("asn: 64512, accept", "asn: x, accept"), ("vlan: 102", "vlan: 101")))
    assert said == [
        "order.yaml:14:30: virtual_gateways.prod.asn: 'x' is not an AS number (1-4294967294)",
        "order.yaml:30:11: virtual_interfaces.prod-b.vlan: VLAN 101 is used already on fra-1 by prod-a (line 20)",
    ]
    assert lines(broken(("  blue: {vpc: vnet-blue, accept: [10.60.0.0/16], vrf: blue}", "  blue:"))) == [
        "order.yaml:15:8: virtual_gateways.blue: is empty; what belongs here is a virtual gateway: a map with the keys "
        "vpc, accept"
    ]


def test_what_did_not_change_is_taken_over_from_the_previous_order() -> None:
    first = parse_order(GOOD, "order.yaml").order
    text = broken(("vlan: 103", "vlan: 106"), ("blue-a:\n", "blue-a:   # moved on\n\n"))
    second = parse_order(text, "order.yaml", first).order
    for section in ("connections", "virtual_gateways", "virtual_interfaces"):
        before, after = getattr(first, section), getattr(second, section)
        same = {name for name in before if after[name] is before[name]}
        assert set(before) - same == ({"prod-c"} if section == "virtual_interfaces" else set())
    assert second.virtual_interfaces["prod-c"].vlan == 106
    assert second == parse_order(text, "order.yaml").order


def test_what_was_loaded_is_handed_on(tmp_path: Path) -> None:
    order = tmp_path / "order.yaml"
    order.write_text(GOOD, encoding="utf-8")
    loaded = load_order(order)
    assert loaded.text == GOOD
    assert re.fullmatch("[0-9a-f]{64}", loaded.digest)
    assert list(loaded.order.virtual_interfaces) == ["prod-a", "prod-b", "prod-c", "blue-a", "prod-d"]
    assert isinstance(loaded.order.virtual_interfaces["prod-a"].addresses, tuple)


@pytest.mark.parametrize(
    "text",
    [
        "Frankfurt\N{NO-BREAK SPACE}A",
        "\u7dda\u8def\N{IDEOGRAPHIC SPACE}B",
        "ki\N{ZERO WIDTH NON-JOINER}ta",
        "Süd – Ost",
        "\U0001fae8",  # newer than some Pythons
    ],
)
def test_ordinary_text_of_any_script_is_taken(text: str) -> None:
    good = broken(("port: eth4,", f'port: eth4, description: "{text}", circuit_id: "{text}",'))
    loaded = parse_order(good, "order.yaml")
    assert (loaded.order.connections["fra-3"].description, loaded.warnings) == (text, ())


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\\u202e", "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        ("\\n", "U+000A (a control character)"),
        ("\\u2028", "U+2028 (LINE SEPARATOR)"),
    ],
)
def test_what_would_change_how_the_rest_is_shown_is_named(character: str, name: str) -> None:
    (line,) = lines(broken(("port: eth4,", f'port: eth4, description: "a{character}b",')))
    assert "connections.fra-3.description: " in line
    assert name in line


@pytest.mark.parametrize("change", [("    vlan: 101", "\xa0\xa0\xa0\xa0vlan: 101"), ("vlan: 101", "vlan:\xa0101")])
def test_a_pasted_blank_that_is_no_space_is_named(change: tuple[str, str]) -> None:
    (line,) = lines(broken(change))
    assert "has U+00A0 (NO-BREAK SPACE), which is no space to YAML" in line
