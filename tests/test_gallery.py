"""The gallery's command paints what is missing, and writes thumbnails with recipes and the page."""

import sys
from pathlib import Path

import pytest

from impasto import read_recipe

pytest.importorskip("skimage", reason="needs the extra demo")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import gallery

pytestmark = pytest.mark.slow


def test_gallery_is_painted_once_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, folder = tmp_path / "gallery.md", tmp_path / "full"
    page.write_text(gallery.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(gallery, "PHOTOS", ("coffee",))
    monkeypatch.setattr(gallery, "PAINTINGS", ("starry_night",))
    monkeypatch.setattr(gallery, "HARD", {("page", "the_scream"): "letters"})
    command = ["gallery.py", "--folder", str(folder), "--page", str(page), "--size", "32", "--network", "slim"]
    monkeypatch.setattr(sys, "argv", command)
    gallery.main()
    written = page.read_text(encoding="utf-8")
    for name in ("coffee", "starry_night", "coffee_starry_night", "page", "page_the_scream"):
        assert f'<img src="pictures/gallery/{name}.webp"' in written
        assert (tmp_path / "pictures" / "gallery" / f"{name}.webp").exists()
    assert "Half of the pictures took at most " in written
    assert "not in this copy" not in written
    assert read_recipe(tmp_path / "pictures" / "gallery" / "coffee_starry_night.webp").settings.size == 32

    times = (folder / "coffee_starry_night.png").stat().st_mtime_ns
    gallery.main()
    assert page.read_text(encoding="utf-8") == written
    assert (folder / "coffee_starry_night.png").stat().st_mtime_ns == times
