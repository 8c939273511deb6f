"""The Dockerfile, as far as it can be checked without Docker."""

import json
import re
import shlex
from pathlib import Path

from impasto.cli.app import app
from impasto.cli.studio import studio

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_container_starts_the_studio_by_options_that_exist():
    (command,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)
    shell, flag, line = json.loads(command)
    assert (shell, flag) == ("sh", "-c")
    called, bound, *_ = app.parse_args(shlex.split(line)[2:], exit_on_error=False, print_error=False)
    assert called is studio
    assert bound.arguments["host"] == "0.0.0.0"  # which takes a password


def test_container_is_built_from_files_that_exist():
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line != "*"]
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    assert "constraints.txt" in allowed


def test_container_paints_as_an_ordinary_user():
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["painter"]
