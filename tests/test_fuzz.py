"""A few damaged files of each kind: `scripts/fuzz` tries many more."""

import warnings
from pathlib import Path

import pytest
from fuzz.kinds import KINDS
from fuzz.trial import try_numbers

COUNT = 150  # of files of each kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    if kind == "heic":
        pytest.importorskip("pillow_heif")
    with warnings.catch_warnings(action="ignore"):
        assert try_numbers(kind, tmp_path, range(COUNT)) == []
