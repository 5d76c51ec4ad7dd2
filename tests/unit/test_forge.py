"""What a forge and a committer's machine are told to run is what `make` runs, and runs here."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OURS = ("make check", ".ci/run")
TOOLS = "apt-get update && apt-get install --yes --no-install-recommends ca-certificates git make"


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def hooks() -> list[dict[str, Any]]:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "nothing is fetched for a commit"
    found: list[dict[str, Any]] = repository["hooks"]
    return found


def test_githubs_jobs_get_what_a_clean_debian_lacks_and_run_our_own_two_commands() -> None:
    ran = [
        step["run"]
        for job in read(".github/workflows/ci.yml")["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert ran == [TOOLS, OURS[0], TOOLS, OURS[1]]


def test_gitlabs_jobs_do_the_same() -> None:
    told = read(".gitlab-ci.yml")
    assert told["default"]["before_script"] == [TOOLS]
    assert tuple(line for stage in told["stages"] for line in told[stage]["script"]) == OURS


@pytest.mark.parametrize("kind", ["fault", "wish"])
def test_both_forges_ask_the_same(kind: str) -> None:
    ours = (ROOT / f".gitlab/issue_templates/{kind.title()}.md").read_text()
    theirs = (ROOT / f".github/ISSUE_TEMPLATE/{kind}.md").read_text()
    assert re.fullmatch(r"---\nname: .+\nabout: .+\n---\n\n" + re.escape(ours), theirs)
    default = ROOT / ".gitlab/merge_request_templates/Default.md"
    assert (ROOT / ".github/pull_request_template.md").read_text() == default.read_text()


@pytest.mark.parametrize("hook", [hook for hook in hooks() if hook["id"] != "mypy"], ids=lambda hook: hook["id"])
def test_a_hook_passes_on_what_is_committed(hook: dict[str, Any]) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    patterns = {"python": "*.py", "yaml": "*.y*ml"}
    kinds = [patterns[kind] for kind in (*hook.get("types", ()), *hook.get("types_or", ())) if kind in patterns]
    files = [
        name
        for name in tracked
        if (not kinds or any(fnmatch.fnmatch(name, kind) for kind in kinds)) and re.search(hook.get("files", ""), name)
    ]
    assert len(files) >= 6
    words = [*shlex.split(hook["entry"]), *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
