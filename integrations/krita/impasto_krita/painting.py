"""Paint a layer with impasto's command line, and add the picture to the document as a new layer."""

import json
import os
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from krita import InfoObject, Krita

PYTHON_VARIABLES = ("PYTHONHOME", "PYTHONPATH")  # Krita sets them for its own Python
APPIMAGE_VARIABLES = ("LD_LIBRARY_PATH", "QT_PLUGIN_PATH")
POLL_SECONDS = 0.1


class PaintingError(Exception):
    """Something failed; the message is for a person."""


def list_paintings(program):
    """List the names of the paintings that come with impasto. Raises PaintingError if impasto can't be run."""
    process = start_program([program, "paintings"], stderr=subprocess.STDOUT)
    lines, _ = process.communicate()
    if process.returncode:
        raise PaintingError(f"{program} is no impasto that can be used:\n{lines}")
    return [line.split()[0] for line in lines.splitlines() if line]


def paint_layer(document, layer, program, painting, options, show):
    """Paint a layer's picture, and add the result above it; returns impasto's notes.

    `options` are words of the command line. `show(line)` is called while impasto paints, with its last line; if it
    returns False, impasto stops, and what is painted so far is added. Raises PaintingError.
    """
    with TemporaryDirectory() as name:
        photo, picture = Path(name, "layer.png"), Path(name, "painted.png")
        export_layer(document, layer, photo)
        bits = "8" if document.colorDepth() == "U8" else "16"
        words = [
            program,
            str(photo),
            painting,
            "-o",
            str(picture),
            "--bits",
            bits,
            "--recipe",
            "none",
            "--json",
            *options,
        ]
        result = run_impasto(words, Path(name, "messages.txt"), show)
        if result:
            state = "" if result["finished"] else " (unfinished)"
            title = f"{layer.name()}, {Path(painting).stem}{state}"
            add_layer(document, layer, picture, title)
    return result["notes"] if result else []


def export_layer(document, layer, path):
    """Write a layer, with its masks and effects, as a PNG of the document's size."""
    scale = document.resolution() / 72  # pixels for each point
    was_batch = Krita.instance().batchmode()
    Krita.instance().setBatchmode(True)  # without a dialog
    try:
        layer.save(str(path), scale, scale, InfoObject(), document.bounds())
    finally:
        Krita.instance().setBatchmode(was_batch)
    if not path.exists():
        raise PaintingError(f"Krita can't export the layer {layer.name()}: choose a layer that has pixels.")


def run_impasto(words, log, show):
    """Run impasto to its end; returns its result, None if it was stopped before the first step."""
    was_stopped = False
    with log.open("w", encoding="utf-8") as messages:
        process = start_program(words, stderr=messages)
        while process.poll() is None:
            if not was_stopped and not show(read_last_line(log)):
                was_stopped = True
                process.terminate()
            time.sleep(POLL_SECONDS)
    with process.stdout:
        result = process.stdout.read()
    if result:
        return json.loads(result)
    if was_stopped:
        return None
    raise PaintingError(log.read_text(encoding="utf-8", errors="replace").strip() or "impasto ended without a word.")


def start_program(words, **files):
    """Start a program outside of Krita's own Python."""
    dropped = PYTHON_VARIABLES + (APPIMAGE_VARIABLES if "APPIMAGE" in os.environ else ())
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment | {"PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            **files,
        )
    except OSError as error:
        raise PaintingError(
            f"{words[0]} can't be started ({error.strerror}). Install impasto, such as with `pipx install impasto`, "
            "and give the path of the program."
        ) from None


def read_last_line(log):
    """Return the last line of a file, "" if there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""


def add_layer(document, layer, path, title):
    """Add a picture above a layer, at the document's size and in its color space."""
    picture = Krita.instance().openDocument(str(path))
    try:
        picture.setColorSpace(document.colorModel(), document.colorDepth(), document.colorProfile())
        width, height, dots = document.width(), document.height(), int(document.resolution())
        picture.scaleImage(width, height, dots, dots, "Bicubic")
        picture.waitForDone()
        pixels = picture.topLevelNodes()[0].pixelData(0, 0, width, height)
    finally:
        picture.close()
    painted = document.createNode(title, "paintlayer")
    painted.setPixelData(pixels, 0, 0, width, height)
    layer.parentNode().addChildNode(painted, layer)
    document.setActiveNode(painted)
    document.refreshProjection()
