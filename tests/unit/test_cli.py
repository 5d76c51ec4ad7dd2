"""The command line as a user meets it: exit statuses, messages in one line, JSON that programs can rest on.

Every router here is an empty network namespace with one port: no FRR, no 802.1Q (the virtual interface is untagged).
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from dcedge.api.control.client import MAX_BODY, ControlClient
from dcedge.cli.app import app
from dcedge.order.findings import OrderInvalidError
from tests.lab.edge import COMMAND, Outcome, prefork
from tests.lab.netns import Namespace, Workspace, end
from tests.lab.prefork import Forked
from tests.lab.wait import until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")
VERBS = ("check", "plan", "apply", "run", "status", "top", "purge", "schema")
PLACES = ("order", "credentials", "socket", "state-dir", "listen", "frr-pathspace")
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: otc, port: eth1, bandwidth: 1G}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 50M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
    static: [10.20.0.0/16]
"""
# Two more of the kind, each the only one on a port of its own, and the same file when only its beginning was copied.
THREE = (
    ORDER.replace(
        "virtual_gateways:",
        "  fra-2: {provider: otc, port: eth2, bandwidth: 1G}\n"
        "  fra-3: {provider: otc, port: eth3, bandwidth: 1G}\n"
        "virtual_gateways:",
    )
    + "".join(
        f"  prod-{name}: {{connection: fra-{n}, virtual_gateway: prod, vlan: 0, bandwidth: 50M,\n"
        f"    static: [10.20.0.0/16], addresses: [{{customer: 10.255.10{n}.2/30, cloud: 10.255.10{n}.1}}]}}\n"
        for name, n in (("b", 2), ("c", 3))
    )
    + "...\n"
)
CUT = THREE[: THREE.index("  prod-b")]
TOO_LONG = "x" * 120  # for a UNIX socket's path, which has 107 characters at most (unix(7))


@dataclass
class Router:
    """A namespace with the port eth1, and folders for dcedge."""

    namespace: Namespace
    folder: Path

    @property
    def order(self) -> Path:
        return self.folder / "order.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.folder / "control.sock"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DCEDGE_")}
        return kept | {
            "DCEDGE_ORDER": str(self.order),
            "DCEDGE_CREDENTIALS": str(self.folder / "credentials"),
            "DCEDGE_SOCKET": str(self.socket),
            "DCEDGE_STATE_DIR": str(self.state),
            "DCEDGE_LISTEN": "127.0.0.1:9478",
            "DCEDGE_FRR_PATHSPACE": "dcedge-test-none",
        }

    def dcedge(self, *words: str, started_by: tuple[str, ...] = ()) -> Outcome:
        """Run dcedge to its end. Whatever it is told, nobody ever sees a traceback.

        It is forked, which spares the start of Python, unless a command is named that is to start it.
        """
        if started_by:
            command = (*started_by, str(COMMAND), *words)
            done = self.namespace.run(*command, check=False, timeout=60, environment=self.environment)
        else:
            done = prefork().run(self.namespace.path, words, self.environment, 60)
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in outcome.said, outcome.said
        return outcome

    def run_daemon(self, **environment: str) -> Forked:
        """A daemon that is on its way."""
        with (self.folder / "log").open("ab") as log:
            return prefork().start(self.namespace.path, ("run",), self.environment | environment, log, log)

    def state_of_kernel(self) -> str:
        return "".join(
            self.namespace.run(*words).stdout
            for words in (("ip", "-d", "address"), ("tc", "qdisc"), ("ip", "route", "show", "table", "all"))
        )


@pytest.fixture
def router() -> Iterator[Router]:
    # Not in pytest's folder, which each pytest that starts closes to other users again.
    with Workspace() as work, TemporaryDirectory(prefix="dcedge-") as folder:
        namespace = work.namespace("cli")
        namespace.sysctl(ipv6__conf__default__accept_dad=0)  # an address that becomes usable is no change of ours
        namespace.ip("link add eth1 type veth peer name far", "link set eth1 up", "link set far up")
        made = Router(namespace, Path(folder))
        made.order.write_text(ORDER)
        until("the port to be up", made.state_of_kernel, accept=lambda said: said.count("state UP") == 2)
        yield made


@pytest.fixture
def ports(router: Router) -> None:
    """Two ports more, and an order with a virtual interface on each."""
    for port in ("eth2", "eth3"):
        router.namespace.ip(f"link add {port} type veth peer name far-{port}")
    router.order.write_text(THREE)


def start(router: Router) -> Forked:
    """A daemon on the router, its first pass done."""
    process = router.run_daemon()
    until("the first pass", lambda: router.socket.exists() and passed(router))
    return process


@pytest.fixture
def daemon(router: Router) -> Iterator[Forked]:
    """The same, for as long as the test lasts."""
    process = start(router)
    yield process
    end(process)
    assert "Traceback" not in (router.folder / "log").read_text()


def passed(router: Router) -> bool:
    return ControlClient(router.socket).status()["pass"]["finished_at"] is not None


def run(*words: str, **environment: str) -> Outcome:
    """Run dcedge in this process, piped and 80 columns wide; only for verbs that look at nothing."""
    nothing = {f"DCEDGE_{place.upper().replace('-', '_')}": None for place in PLACES}
    done = CliRunner().invoke(app, words, env={**nothing, "COLUMNS": "80", **environment})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Outcome(done.exit_code, done.stdout, done.stderr)


def shape(data: object) -> object:
    """A JSON value's shape: the keys and kinds of value, a list as its first entry."""
    match data:
        case dict():
            return {key: shape(value) for key, value in data.items()}
        case list():
            return [shape(data[0])] if data else []
    return type(data).__name__


def test_help_names_every_verb_and_fits_a_terminal() -> None:
    said = run("--help")
    assert said.status == 0
    for verb in VERBS:
        assert re.search(rf"^\W*{verb} ", said.stdout, re.MULTILINE), verb
    assert "\x1b" not in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "schema"])
def test_help_of_a_verb_names_every_place_with_its_variable(verb: str) -> None:
    said = run(verb, "--help").stdout
    for place in PLACES:
        assert f"--{place} " in said
        assert f"DCEDGE_{place.upper().replace('-', '_')}" in said


@pytest.mark.parametrize("words", [("frob",), ("plan", "--oder", "x"), ("check", "more"), ()], ids=" ".join)
def test_a_mistyped_command_fails_and_is_not_taken_for_pending_changes(words: tuple[str, ...]) -> None:
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_the_version_is_said() -> None:
    assert re.fullmatch(r"dcedge \d+\.\d+\.\d+\n", run("--version").stdout)


def test_the_schema_is_json_schema() -> None:
    schema = run("schema").json()
    assert set(schema["properties"]) >= {"router", "connections", "virtual_gateways", "virtual_interfaces"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("- one\n- two\n", "is a list"),
        ("just words\n", "is a single value"),
        ("router: {\n", "not YAML"),
        ("\x00", "U+0000"),
        ("a: &a [x]\nb: *c\n", "alias"),
    ],
)
def test_what_is_no_order_is_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    order = tmp_path / "order.yaml"
    order.write_text(content)
    outcome = run("check", DCEDGE_ORDER=str(order))
    assert (outcome.status, outcome.stdout) == (3, "")
    assert outcome.stderr.startswith(f"{order}:")
    assert said in outcome.stderr


def test_an_order_that_is_a_folder_or_is_not_there_is_invalid(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "none.yaml", "No such file or directory")):
        outcome = run("check", "--order", str(path))
        assert (outcome.status, outcome.stderr.startswith(f"{path}: ")) == (3, True), outcome.said
        assert said in outcome.stderr


def test_check_as_json_has_one_shape_good_or_bad(tmp_path: Path) -> None:
    order = tmp_path / "order.yaml"
    order.write_text(ORDER)
    good = run("check", "--json", "--order", str(order))
    order.write_text(ORDER.replace("vlan: 0", "vlan: 4095"))
    bad = run("check", "--json", "--order", str(order))
    assert (good.status, bad.status) == (0, 3)
    assert {**good.json(), "carried_bps": {}} == {"valid": True, "problems": [], "warnings": [], "carried_bps": {}}
    assert list(good.json()["carried_bps"]["prod-a"]) == ["64", "512", "1500"]
    assert (bad.json()["valid"], bad.json()["carried_bps"]) == (False, {})
    assert shape(bad.json()["problems"][0]) == {
        "source": "str",
        "line": "int",
        "column": "int",
        "path": "str",
        "message": "str",
        "severity": "str",
    }
    assert (bad.json()["problems"][0]["line"], bad.json()["problems"][0]["path"]) == (
        10,
        "virtual_interfaces.prod-a.vlan",
    )


def test_an_option_goes_before_its_variable(tmp_path: Path) -> None:
    order = tmp_path / "order.yaml"
    order.write_text(ORDER)
    assert run("check", DCEDGE_ORDER=str(order)).status == 0
    assert run("check", "--order", str(tmp_path / "none"), DCEDGE_ORDER=str(order)).status == 3


def test_without_a_daemon_status_says_so() -> None:
    outcome = run("status", "--socket", "/run/no-such-folder/control.sock")
    assert outcome.status == 4
    assert outcome.stderr == "dcedge: no daemon answers on /run/no-such-folder/control.sock\n"


def test_a_socket_path_that_cannot_be_one_is_a_failure_in_words(tmp_path: Path) -> None:
    for path, said in ((tmp_path / TOO_LONG, "too long"), (Path("/etc/hostname/control.sock"), "Not a directory")):
        outcome = run("status", "--socket", str(path))
        assert outcome.status == 1
        assert outcome.stderr.startswith(f"dcedge: {path}: ")
        assert said in outcome.stderr


@AS_ROOT
class TestOnARouter:
    def test_a_plan_is_pending_and_changes_nothing(self, router: Router) -> None:
        before = router.state_of_kernel()
        outcome = router.dcedge("plan")
        assert outcome.status == 2
        assert "50M on eth1" in outcome.stdout
        assert router.state_of_kernel() == before
        assert not router.state.exists()

    def test_a_plan_as_json_has_its_shape(self, router: Router) -> None:
        plan = router.dcedge("plan", "--json").json()
        assert set(plan) == {"operations", "disruption", "notes"}
        shapes = [shape({**operation, "changes": [], "affects": []}) for operation in plan["operations"]]
        text = ("action", "kind", "name", "description", "reason", "disruption", "refusal")
        assert shapes == [dict.fromkeys(text, "str") | {"changes": [], "affects": []}] * len(shapes)
        change = next(operation for operation in plan["operations"] if operation["changes"])["changes"][0]
        assert set(change) == {"attribute", "before", "after", "disruption"}

    def test_an_unknown_frr_is_a_note_and_the_kernels_part_is_done(self, router: Router) -> None:
        outcome = router.dcedge("apply")
        assert outcome.status == 1
        assert "bgpd is not running" in outcome.stdout
        assert "10.255.101.2/30" in router.state_of_kernel()
        again = router.dcedge("plan")
        assert (again.status, "Nothing to do apart from the above" in again.stdout) == (2, True), again.said

    @pytest.mark.usefixtures("ports")
    def test_a_state_folder_that_cannot_be_keeps_nothing_from_being_done(self, router: Router) -> None:
        before, nowhere = router.state_of_kernel(), ("--state-dir", "/etc/hostname/state")
        refused = router.dcedge("apply", "--confirm", "5m", *nowhere)
        assert (refused.status, "nothing was changed" in refused.stderr) == (1, True), refused.said
        assert router.state_of_kernel() == before
        done = router.dcedge("apply", *nowhere)
        assert "cannot be written (Not a directory): a restart would lose" in done.stdout, done.said
        assert router.state_of_kernel().count("inet 10.255.10") == 3
        assert "Not a directory" in router.dcedge("plan", *nowhere).stdout
        assert router.dcedge("purge", "--yes", *nowhere).status == 1
        assert "inet 10.255.10" not in router.state_of_kernel()

    @pytest.mark.usefixtures("ports")
    def test_a_damaged_state_file_is_set_aside_and_said(self, router: Router) -> None:
        router.state.mkdir(mode=0o700)
        (router.state / "owned.json").write_text("{")
        done = router.dcedge("apply")
        assert f"{router.state / 'owned.json'} was damaged" in done.stdout, done.said
        assert (router.state / "owned.json.damaged").read_text() == "{"
        assert router.state_of_kernel().count("inet 10.255.10") == 3

    @pytest.mark.parametrize("value", ["nonsense", "127.0.0.1:99999"])
    def test_a_daemon_told_to_listen_at_no_address_ends_before_it_changes_anything(
        self, router: Router, value: str
    ) -> None:
        before = router.state_of_kernel()
        outcome = router.dcedge("run", "--listen", value)
        assert (outcome.status, outcome.stderr.count("\n")) == (1, 1), outcome.said
        assert "is not ADDRESS:PORT" in outcome.stderr
        assert router.state_of_kernel() == before

    @pytest.mark.usefixtures("ports")
    @pytest.mark.parametrize(
        ("variable", "value", "said"),
        [
            ("DCEDGE_LISTEN", "192.0.2.99:9478", "cannot listen on 192.0.2.99:9478"),
            ("DCEDGE_SOCKET", f"/tmp/{TOO_LONG}", "too long"),
            ("DCEDGE_SOCKET", "/etc/hostname", "exists and is not a socket"),
        ],
    )
    def test_where_a_daemon_cannot_listen_the_data_plane_is_as_ordered(
        self, router: Router, variable: str, value: str, said: str
    ) -> None:
        log = router.folder / "log"
        process = router.run_daemon(**{variable: value})
        until("the addresses", router.state_of_kernel, accept=lambda state: state.count("inet 10.255.10") == 3)
        until("it to be said", log.read_text, accept=lambda text: said in text)
        end(process)

    @pytest.mark.usefixtures("ports")
    def test_a_port_that_is_taken_is_waited_for(self, router: Router) -> None:
        taken = router.namespace.call(socket.create_server, ("127.0.0.1", 9478))
        process = start(router)
        assert router.state_of_kernel().count("inet 10.255.10") == 3
        until("it to be said", lambda: router.dcedge("status").stdout, accept=lambda said: "already in use" in said)
        taken.close()
        fetch = ("curl", "-sf", "-m", "20", "http://127.0.0.1:9478/healthz")
        until("HTTP", lambda: router.namespace.run(*fetch, check=False).stdout, accept=lambda said: said == "ok\n")
        until(
            "it to be said no more", lambda: router.dcedge("status").stdout, accept=lambda s: "already in use" not in s
        )
        end(process)

    def test_a_daemon_without_any_good_order_ends(self, router: Router) -> None:
        router.order.write_text("router: {")
        outcome = router.dcedge("run")
        assert (outcome.status, "not YAML" in outcome.stderr) == (3, True), outcome.said

    def test_there_is_one_daemon_and_one_writer(self, router: Router, daemon: Forked) -> None:
        for words in (("run",), ("purge", "--yes")):
            outcome = router.dcedge(*words)
            assert (outcome.status, outcome.stderr.count("\n")) == (1, 1), outcome.said
            assert "another dcedge is changing this router" in outcome.stderr
        outcome = router.dcedge("run", "--state-dir", str(router.folder / "other"))
        assert (outcome.status, "another daemon answers" in outcome.stderr) == (1, True), outcome.said
        assert daemon.poll() is None

    def test_who_is_not_root_changes_nothing_and_is_told(self, router: Router, daemon: Forked) -> None:
        router.folder.chmod(0o755)
        verbs = ("status", "plan", "apply", "purge --yes", "run")
        told = {verb: router.dcedge(*verb.split(), started_by=NOBODY) for verb in verbs}
        assert {verb: outcome.status for verb, outcome in told.items()} == dict.fromkeys(told, 1)
        for verb, outcome in told.items():
            assert outcome.stderr.count("\n") == 1, (verb, outcome.said)
            assert re.search("ermi(tted|ssion)|root", outcome.stderr), (verb, outcome.said)
        router.socket.chmod(0o666)
        assert router.dcedge("status", started_by=NOBODY).status == 0, "whoever may connect may read"
        refused = router.dcedge("apply", started_by=NOBODY)
        assert (refused.status, "only root" in refused.stderr) == (1, True), refused.said

    def test_status_as_json_has_its_keys(self, router: Router, daemon: Forked) -> None:
        status = router.dcedge("status", "--json").json()
        assert set(status) >= {"router", "frr", "connections", "virtual_interfaces", "pass", "order"}
        assert set(status["virtual_interfaces"][0]) >= {
            *("name", "connection", "virtual_gateway", "verdict", "reason", "admin", "since", "interface"),
            *("ordered_bps", "routing", "used", "bgp", "probes"),
        }

    def test_status_of_one_is_all_about_it(self, router: Router, daemon: Forked) -> None:
        told = router.dcedge("status", "prod-a")
        assert (told.status, told.stdout.split()[0]) == (0, "prod-a"), told.said
        assert "50M ordered" in told.stdout
        detail = router.dcedge("status", "prod-a", "--json").json()
        assert set(detail) >= {
            "virtual_interface",
            "connection",
            "next_step",
            "timers",
            "percentiles",
            "history",
            "hour",
        }
        unknown = router.dcedge("status", "prod-z")
        assert (unknown.status, unknown.stderr) == (1, "dcedge: no virtual interface 'prod-z'\n")

    def test_top_that_is_piped_looks_once(self, router: Router, daemon: Forked) -> None:
        told = router.dcedge("top")
        assert told.status == 0, told.said
        assert "\x1b" not in told.stdout
        assert any(line.startswith("prod-a ") for line in told.stdout.splitlines())
        assert not any(
            line.startswith("prod-a ") for line in router.dcedge("top", "nothing-like-it").stdout.splitlines()
        )
        assert router.dcedge("top", "--json").json()["matching"] == 1

    def test_top_goes_on_without_the_daemon_and_ends_with_q(self, router: Router, daemon: Forked) -> None:
        terminal, inside = pty.openpty()
        termios.tcsetwinsize(inside, (24, 120))
        shown = b""

        def said(word: bytes) -> bool:
            nonlocal shown
            while select.select([terminal], [], [], 0)[0]:
                shown += os.read(terminal, 65536)
            return word in shown

        top = subprocess.Popen(
            router.namespace.command(str(COMMAND), "top", "--interval", "200ms"),
            stdin=inside, stdout=inside, stderr=inside, env=router.environment | {"TERM": "xterm"},
        )  # fmt: skip
        try:
            until("the virtual interface", lambda: said(b"prod-a"))
            os.write(terminal, b"v")
            until("the next verdict alone", lambda: said(b"(only: down)"))
            end(daemon)
            until("the daemon's end to be noticed", lambda: said(b"no daemon answers"))
            os.write(terminal, b"q")
            until("its end", top.poll, accept=lambda status: status is not None)
            assert top.returncode == 0
            assert termios.tcgetattr(inside)[3] & termios.ECHO, "the terminal echoes again"
        finally:
            top.kill()
            top.wait()
            os.close(terminal)
            os.close(inside)

    def test_a_running_daemon_refuses_a_bad_order_and_stays_as_it_is(self, router: Router, daemon: Forked) -> None:
        before = router.state_of_kernel()
        client = ControlClient(router.socket)
        for content, said in bad_orders():
            router.order.write_bytes(content)
            daemon.send_signal(signal.SIGHUP)
            problems = until(
                f"the daemon to say: {said}",
                lambda: client.status()["order"]["problems"],
                accept=lambda problems, said=said: said in "".join(problems),  # type: ignore[misc]
            )
            assert len(problems) == 1
            if len(content) <= MAX_BODY:
                with pytest.raises(OrderInvalidError, match=said):
                    client.command("apply", content.decode())
        outcome = router.dcedge("apply")
        assert (outcome.status, said in outcome.stderr) == (3, True), outcome.said
        assert router.state_of_kernel() == before
        assert daemon.poll() is None

    def test_a_reload_carries_out_the_file_or_says_why_not(self, router: Router, daemon: Forked) -> None:
        router.order.write_text(ORDER.replace("10.255.101.2/30", "10.255.101.1/30").replace("101.1}", "101.2}"))
        outcome = router.dcedge("reload", "--json")
        assert outcome.status == 0, outcome.said
        assert "10.255.101.1/30" in router.state_of_kernel()
        before = router.state_of_kernel()
        router.order.write_text(ORDER.replace("vlan: 0", "vlan: 4095"))
        outcome = router.dcedge("reload")
        assert (outcome.status, "4095 is not a VLAN ID" in outcome.stderr) == (3, True), outcome.said
        assert router.state_of_kernel() == before
        assert "4095 is not a VLAN ID" in router.dcedge("status").stdout
        refused = router.dcedge("reload", started_by=NOBODY)
        assert refused.status in {1, 3}, refused.said

    @pytest.mark.usefixtures("ports")
    def test_a_daemon_takes_a_mass_away_only_where_it_is_said_to(self, router: Router) -> None:
        daemon = start(router)
        held = router.state_of_kernel()
        assert held.count("inet 10.255.10") == 3, held
        whole_but_fewer, fewer = CUT + "...\n", "removes 2 of 3 virtual interfaces in force"
        for text, words, said in (
            (CUT, ("reload",), "is cut"),
            (whole_but_fewer, ("apply", "--allow-removal", "1"), f"{fewer} (removed: prod-b, prod-c), and not 1"),
            (whole_but_fewer, ("apply",), fewer),
            (whole_but_fewer, ("reload",), fewer),
        ):
            router.order.write_text(text)
            outcome = router.dcedge(*words)
            assert (outcome.status, said in outcome.stderr) == (3, True), outcome.said
            assert "(removed: prod-b, prod-c)" in outcome.stderr
            assert "`dcedge apply --allow-removal 2`" in outcome.stderr
        assert ControlClient(router.socket).status()["order"]["load_failed"]
        for verb in ("status", "plan"):
            assert fewer in router.dcedge(verb).stdout
        check = router.dcedge("check", "--json")
        assert (check.status, fewer in check.json()["warnings"][0]["message"]) == (0, True), check.said
        assert router.state_of_kernel() == held
        end(daemon)
        daemon = start(router)
        assert "the last good order is in force" in router.dcedge("status").stdout
        assert router.state_of_kernel() == held
        assert router.dcedge("apply", "--allow-removal", "2").status != 3
        assert router.state_of_kernel().count("inet 10.255.10") == 1
        assert router.dcedge("rollback").status != 3
        assert router.state_of_kernel().count("inet 10.255.10") == 3
        end(daemon)

    @pytest.mark.usefixtures("ports")
    def test_a_reader_is_told_of_a_mass_by_what_the_daemon_shows(self, router: Router) -> None:
        daemon = start(router)
        router.order.write_text(CUT)
        assert "is cut" in router.dcedge("check").stderr
        shown = router.dcedge("check", "--state-dir", str(router.folder / "not-to-be-read"))
        assert (shown.status, "removes 2 of 3" in shown.stderr) == (0, True), shown.said
        end(daemon)
        unknown = router.dcedge("check", "--state-dir", str(router.folder / "not-to-be-read"))
        assert (unknown.status, unknown.stderr) == (0, "")

    def test_asked_by_signal_the_daemon_says_what_it_is_at_and_why(self, router: Router, daemon: Forked) -> None:
        daemon.send_signal(signal.SIGUSR1)
        log = router.folder / "log"
        said = until("the tasks", log.read_text, accept=lambda text: "tasks: " in text and "poll_forever" in text)
        assert "Current thread" in said
        assert "changes of the order, reason: an order must be carried out" in said
        assert "the next pass is due in" in said
        assert passed(router), "it goes on"

    @pytest.mark.usefixtures("ports")
    def test_what_is_in_force_is_what_is_explained_and_a_file_that_differs_is_said(self, router: Router) -> None:
        daemon = start(router)
        router.order.write_text(CUT)
        said = f"the order in force differs from {router.order}: see `dcedge plan`"
        until("it to be said", lambda: router.dcedge("status").stdout, accept=lambda text: said in text)
        explained = router.dcedge("explain", "prod-c")
        assert explained.status in {0, 5}, explained.said
        assert "differs from the order in force" in explained.stdout
        router.order.write_text(THREE)
        until("that to be over", lambda: router.dcedge("status").stdout, accept=lambda text: said not in text)
        end(daemon)

    @pytest.mark.usefixtures("ports")
    def test_another_file_that_is_applied_becomes_the_daemons(self, router: Router) -> None:
        daemon = start(router)
        other = router.folder / "other.yaml"
        other.write_text(THREE.replace("50M", "60M"))
        words = ("apply", "--order", str(other))
        assert router.dcedge(*words, "--confirm", "5m").status != 3
        assert router.order.read_text() == THREE, "nobody has confirmed it"
        assert router.dcedge("confirm").status == 0
        assert router.order.read_text() == other.read_text()
        assert router.order.with_name("order.yaml.before").read_text() == THREE
        other.write_text(THREE)
        router.dcedge(*words)
        assert router.order.read_text() == THREE
        end(daemon)
        assert not list(router.folder.glob(".*.new"))

    @pytest.mark.usefixtures("ports")
    def test_another_file_that_cannot_become_the_daemons_changes_nothing(self, router: Router) -> None:
        daemon = start(router)
        held, real = router.dcedge("status", "--json").json(), router.folder / "real.yaml"
        other = router.folder / "other.yaml"
        other.write_text(THREE.replace("50M", "60M"))
        router.order.rename(real)
        router.order.symlink_to(real)
        refused = router.dcedge("apply", "--order", str(other))
        assert (refused.status, "is a symbolic link" in refused.stderr) == (1, True), refused.said
        assert router.dcedge("status", "--json").json()["order"]["applied_at"] == held["order"]["applied_at"]
        end(daemon)

    @pytest.mark.usefixtures("ports")
    def test_without_a_daemon_a_mass_is_said_too(self, router: Router) -> None:
        assert router.dcedge("apply").status != 3
        router.order.write_text(CUT)
        for words in (("apply",), ("apply", "--allow-removal", "3")):
            outcome = router.dcedge(*words)
            assert (outcome.status, "--allow-removal 2" in outcome.stderr) == (3, True), outcome.said
        assert router.state_of_kernel().count("inet 10.255.10") == 3
        assert router.dcedge("apply", "--allow-removal", "2").status != 3
        assert router.state_of_kernel().count("inet 10.255.10") == 1

    def test_protection_of_http_that_a_reload_brings_is_in_force_or_the_reload_fails(
        self, router: Router, daemon: Forked
    ) -> None:
        def fetched(*options: str) -> str:
            words = ("curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", *options)
            return router.namespace.run(*words, check=False).stdout

        plain, secure = "http://127.0.0.1:9478/healthz", ("-k", "https://127.0.0.1:9478/healthz")
        assert fetched(plain) != "000"
        web = router.folder / "web.yml"
        router.order.write_text(f"agent: {{web_config: {web}}}\n{ORDER}")
        failed = router.dcedge("reload")
        assert (failed.status, f"{web}: No such file" in failed.stderr) == (1, True), failed.said
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", "/CN=router", "-keyout", router.folder / "key", "-out", router.folder / "crt"),
            ],
            check=True,
            capture_output=True,
        )
        hashed = "$2b$04$LIiBd/ndZTYQtfhEe5IQpuzTVULGXPgkAj4Y9wy6nYwQzaTDcYHpC"
        tls = "tls_server_config: {cert_file: crt, key_file: key}\n"
        web.write_text(f"{tls}basic_auth_users: {{somebody: '{hashed}'}}\n")
        assert router.dcedge("reload").status == 0
        assert (fetched(plain), fetched(*secure)) == ("000", "401")

    def test_a_reload_without_a_daemon_says_so(self, router: Router) -> None:
        assert router.dcedge("reload").status == 4

    def test_a_daemon_that_starts_with_a_broken_file_takes_the_last_good_order(
        self, router: Router, daemon: Forked
    ) -> None:
        before = router.state_of_kernel()
        assert end(daemon, signal.SIGKILL) == -signal.SIGKILL
        router.order.write_text("router: {")
        # Started as a service manager does it.
        router.namespace.popen(str(COMMAND), "run", log=router.folder / "log", environment=router.environment)
        until("the daemon to answer", lambda: answers(router))
        status = router.dcedge("status")
        assert (status.status, "the last good order is in force" in status.stdout) == (0, True), status.said
        assert router.state_of_kernel() == before


def answers(router: Router) -> bool:
    return router.dcedge("status").status == 0


def bad_orders() -> Iterator[tuple[bytes, str]]:
    """Files that are no orders, and a word of what is said of each."""
    yield b"", "is empty"
    yield b"- one\n", "is a list"
    yield b"router: {", "not YAML"
    yield b"just words\n", "is a single value"
    yield b"router: " + b"x" * 50_000_000, "MiB"
    names = "abcdefghij"
    lines = (f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]" for below, name in pairwise(names))
    yield "\n".join(["a: &a [x]", *lines]).encode(), "aliases expanded"
