"""The files that the pages show are good as they stand there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import bcrypt

from dcedge.api.http.web_config import WebConfig
from tests.fresh.pages import block_with


def test_the_web_config_is_taken(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"Rebstock", bcrypt.gensalt(4)).decode()
    shown = block_with("config/operations.md", "tls_server_config")
    assert "$2y$10$…" in shown
    (tmp_path / "web.yml").write_text(shown.replace("$2y$10$…", hashed))
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-subj", "/CN=router", "-keyout", "router.key", "-out", "router.crt"]
    subprocess.run([*words, *files], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "prometheus-ca.crt").write_bytes((tmp_path / "router.crt").read_bytes())
    WebConfig(tmp_path / "web.yml")
