"""Other systems than Linux: what they lack is simulated here, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from impasto.errors import PictureError, UsageError
from impasto.images import output
from impasto.images.names import find_free_path, make_file_name, make_portable
from impasto.images.read import read_image

# Windows has none of these modules and functions.
WITHOUT_UNIX = """
import os, signal, sys
for module in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[module] = None
for name in ("sysconf", "sched_getaffinity", "nice", "getuid", "fork", "mkfifo", "statvfs"):
    delattr(os, name)
for name in ("pthread_sigmask", "SIGHUP", "SIGALRM", "setitimer"):
    delattr(signal, name)
"""
PRETEND_WINDOWS = """
import torch, numpy, PIL.Image, pyvips, rich.progress, cyclopts, filelock, platformdirs, psutil, multiprocessing, sys
from pydantic import BaseModel
sys.platform = "win32"
"""


def run_python(program: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("system", [WITHOUT_UNIX, PRETEND_WINDOWS + WITHOUT_UNIX], ids=["no Unix", "win32"])
def test_picture_is_painted_without_unix(system, tmp_path):
    """And memory and cores are counted before."""
    words = ["photo.png", "photo.png", "--size=64", "--steps=2", "--network=slim", "--views=1", "--quiet"]
    program = f"""import psutil
{system}
import torch
from PIL import Image
from impasto.cli.app import main
from impasto.painting.device import measure_free_memory, measure_used_memory
from impasto.workers.resources import count_cores
cpu = torch.device("cpu")
assert measure_free_memory(cpu) > 10**7 and measure_used_memory(cpu) > 10**7 and count_cores() >= 1
Image.linear_gradient("L").convert("RGB").save("photo.png")
sys.exit(main({[*words, "--memory=4GiB", "--checkpoint=saved", "-o=out.png"]}))
"""
    done = run_python(program, tmp_path)
    assert (done.returncode, done.stdout) == (0, "out.png\n"), done.stderr


@pytest.mark.slow
def test_batch_is_painted_without_unix(tmp_path):
    program = f"""import psutil
{WITHOUT_UNIX}
if __name__ == "__main__":
    from PIL import Image
    Image.linear_gradient("L").convert("RGB").save("photo.png")
    from impasto.cli.app import main
    words = ["batch", "photo.png", "--style=photo.png", "--size=64", "--steps=2", "--network=slim", "--views=1"]
    sys.exit(main([*words, "--workers=1", "--name={{photo}}_{{style_taps}}.png", "-o=out"]))
"""
    (tmp_path / "paint.py").write_text(program)
    done = subprocess.run([sys.executable, "paint.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [path.name for path in (tmp_path / "out").glob("*.png")]
    assert names == [make_portable(name) for name in names]
    assert len(names) == 1


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("relu1_1:1.png", "relu1_1_1.png"),
        ('a<b>c"d|e?f*g\\h.png', "a_b_c_d_e_f_g_h.png"),
        ("CON.png", "_CON.png"),
        ("nul", "_nul"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("console.png", "console.png"),
        ("ends in a dot.", "ends in a dot_"),
        ("ends in a space ", "ends in a space_"),
        ("two\nlines.png", "two_lines.png"),
        ("写真 1.png", "写真 1.png"),
    ],
)
def test_names_are_made_portable(name, portable):
    assert make_portable(name) == portable


def test_long_names_are_cut_and_stay_apart():
    one, other = (make_file_name(f"{'é' * 300}{end}.png") for end in "ab")
    assert one != other
    assert all(len(name.encode()) <= 200 and name.endswith(".png") for name in (one, other))


def test_free_path_takes_the_next_number(tmp_path):
    for name in ("a.png", "a_2.png"):
        (tmp_path / name).touch()
    assert find_free_path(tmp_path / "a.png") == tmp_path / "a_3.png"


def test_output_that_windows_forbids_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "IS_WINDOWS", True)
    for name in ("aux.png", "10:30.png"):
        with pytest.raises(UsageError, match="Windows can't name a file"):
            output.check_output(tmp_path / name)
    output.check_output(tmp_path / "fine.png")


def test_an_address_of_a_file_is_not_a_path_in_python():
    with pytest.raises(
        PictureError, match=r"file:///home/me/a%20b.jpg is an address: write the path alone, /home/me/a b.jpg"
    ):
        read_image(Path("file:///home/me/a%20b.jpg"))


@pytest.mark.skipif(os.name == "nt", reason="it is at home here")
@pytest.mark.parametrize("name", [r"C:\Users\me\out.png", "c:/out.png"])
def test_output_at_a_path_of_windows_is_refused_elsewhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"can't be written: it is a path of Windows, .* in WSL it is /mnt/c/.*out\.png"
    ):
        output.check_output(name)
    output.check_output("a:b?.png")  # Windows allows neither in a name


def test_replacing_waits_for_an_open_file(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "IS_WINDOWS", True)
    monkeypatch.setattr(output, "REPLACE_WAITS_SECONDS", (0.0, 0.0))
    refusals = [PermissionError("open elsewhere"), PermissionError("still open")]
    replace = Path.replace

    def refuse_at_first(self: Path, target: str) -> Path:
        if refusals:
            raise refusals.pop()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_at_first)
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    output.replace_file(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"


def test_importing_impasto_leaves_openmp_alone(tmp_path):
    program = "import os; before = dict(os.environ); import impasto.api; print(os.environ == before)"
    assert run_python(program, tmp_path).stdout == "True\n"
