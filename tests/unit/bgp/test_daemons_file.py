"""FRR's /etc/frr/daemons is understood as the shell does, and not executed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from dcedge.frr.daemons_file import parse_daemons_file, read_daemons_file

DEBIAN = """\
# This file tells the frr package which daemons to start.
#
bgpd=yes
bfdd=yes

vtysh_enable=yes
zebra_options="  -A 127.0.0.1 -s 90000000 --v6-rr-semantics"
bgpd_options="   -A 127.0.0.1"
#watchfrr_options=""
#MAX_FDS=1024
"""


def test_debians_file() -> None:
    file = parse_daemons_file(DEBIAN)
    assert file.options("zebra") == ("-A", "127.0.0.1", "-s", "90000000", "--v6-rr-semantics")
    assert file.options("bgpd") == ("-A", "127.0.0.1")
    assert file.options("bfdd") == ()
    assert file.descriptors(1024) == 1024


@pytest.mark.parametrize(
    "text",
    [
        "zebra_options='-r -K 120'",
        "zebra_options=-r",
        'zebra_options="-r"\' -K\'" 120" # for graceful restart',
        'zebra_options="-A 127.0.0.1 \\\n -r -K 120"',
        'zebra_options="-A 127.0.0.1\n-r"\n',
        "zebra_options=-A\\ 127.0.0.1\\\n\\ -r",
        'base="-A 127.0.0.1"\nzebra_options="$base -r ${base}"\n',
        'zebra_options="-r"\nzebra_options+=" -K 120"\n',
        'zebra_options="-r"\n# zebra_options="-K 120"\n',
        'zebra_options="-r"\nzebra_options="-K 120"\n',
        '  export zebra_options="-r";\n',
        'frr_global_options="-F datacenter"\nzebra_options="-r"\n',
        "zebra_options='$base'\n",
        'zebra_options="\\$base \\"x y\\""\n',
        'zebra_options="-r"; # at last',
        "zebra_options=-x#y\n",
        'other="\nzebra_options=-r\n"\n',
        "zebra_options=\n",
        "",
    ],
)
@pytest.mark.skipif(not shutil.which("bash"), reason="bash judges")
def test_what_bash_makes_of_it_is_what_is_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "daemons").write_text(text)
    script = f'. {tmp_path}/daemons; printf "%s %s" "$frr_global_options" "$zebra_options"'
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    file = read_daemons_file(tmp_path / "daemons")
    assert file is not None
    assert file.options("zebra") == tuple(shlex.split(said))


@pytest.mark.parametrize(
    "text",
    [
        'zebra_options="$(cat /etc/more)"',
        'zebra_options="`cat /etc/more`"',
        'zebra_options="$UNKNOWN -r"',
        "zebra_options=$UNKNOWN",
        'if [ -e /x ]; then\n  zebra_options="-r"\nfi\n',
        ". /etc/default/frr\nzebra_options=-r\n",
        'zebra_options="-r',
        "zebra_options=(-r -K 120)",
        "zebra_options=-r touch /tmp/done",
        "zebra_options=-r && touch /tmp/done",
        "zebra_options='-A \"127.0.0.1'",
        'frr_global_options="$(x)"\nzebra_options="-r"\n',
    ],
)
def test_what_only_a_shell_can_tell_is_not_guessed(text: str) -> None:
    assert parse_daemons_file(text).options("zebra") is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("MAX_FDS=4096", 4096),
        ('MAX_FDS="4096"  # many', 4096),
        ("# MAX_FDS=4096", 1024),
        ("MAX_FDS=4096\nMAX_FDS=2048", 2048),
        ("MAX_FDS=", 1024),
        ("MAX_FDS=unlimited", None),
        ("MAX_FDS=$(nproc)", None),
    ],
)
def test_how_many_files_may_be_open(text: str, limit: int | None) -> None:
    assert parse_daemons_file(text).descriptors(1024) == limit


def test_a_file_that_is_not_there_or_is_none_is_no_error(tmp_path: Path) -> None:
    assert read_daemons_file(tmp_path / "daemons") is None
    assert read_daemons_file(tmp_path) is None
    (tmp_path / "daemons").write_bytes(b"\xff\xfe\x00=\n" * 1000)
    file = read_daemons_file(tmp_path / "daemons")
    assert file is not None
    assert file.options("zebra") is None
