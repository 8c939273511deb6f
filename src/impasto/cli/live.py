"""`impasto live`: what a camera sees, or a film, painted in a window as it comes."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from impasto.cli.arguments import PaintingArguments
from impasto.errors import ImpastoError, UsageError, describe_install
from impasto.settings.parsing import parse_settings
from impasto.settings.presets import FAST_DEFAULTS
from impasto.terminal.console import DONE, print_message, print_result
from impasto.terminal.interrupts import Interrupts

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.films.live_painter import LivePainter
    from impasto.images.image import Image

WINDOW, WINDOW_SIZE = "impasto", (960, 720)
RATE_FRAMES = 20  # that the shown rate is a mean of
IMAGES_RATE = 25.0  # frames a second of a folder of images
KEYS = {ord("q"): "quit", 27: "quit", ord(" "): "save"}
for _arrows in ((65361, 65362, 65363, 65364), (2424832, 2490368, 2555904, 2621440), (63234, 63232, 63235, 63233)):
    KEYS |= dict(zip(_arrows, ("left", "up", "right", "down"), strict=True))  # on Linux, Windows and macOS


def live(
    *paintings: PaintingArguments,
    camera: Annotated[int | None, Parameter(help="number of the camera", show_default="0, the first")] = None,
    source: Annotated[Path | None, Parameter(help="a film in place of the camera", show_default=False)] = None,
    size: Annotated[
        str, Parameter(help="longer side in pixels that is painted: less is faster", metavar="INT")
    ] = "320",
    fast_strength: Annotated[
        str, Parameter(help="how far it goes from the camera's picture to the painting's style", metavar="NUMBER")
    ] = "1",
) -> int:
    """Paint what a camera sees, in a window, in the style of a PAINTING.

    Left and right choose among several PAINTINGs, up and down change the strength, space saves
    the frame and a picture painted from it, with its recipe, in the current folder; q or Esc
    ends it. It needs the extra impasto[live].
    """
    settings = parse_settings({"size": size, "fast_strength": fast_strength, "guard": 0.0}, FAST_DEFAULTS)
    if camera is not None and source:
        raise UsageError("`camera` and `source` are both given: leave one out", setting="source")
    _import_opencv()
    from impasto.films.live_painter import LivePainter

    with Interrupts():
        painter = LivePainter(paintings, settings)
        for note in painter.notes:
            print_message(note)
        paint_live(painter, play_film(source) if source else read_camera(camera or 0), Window().show)
    return DONE


def paint_live(painter: "LivePainter", frames: Iterable["Image"], show: Callable[["Tensor", str], str]) -> None:
    """Paint frames until they end or `show` returns "quit".

    `show` gets each picture (1, 3, H, W) and words about it, and returns the key that is pressed, of `KEYS`, or "".
    """
    times: deque[float] = deque(maxlen=RATE_FRAMES)
    for frame in frames:
        picture = painter.paint(frame)
        times.append(time.perf_counter())
        rate = (len(times) - 1) / max(times[-1] - times[0], 1e-9)
        key = show(picture, f"{painter.describe()}, {rate:.1f} frames a second")
        if key == "quit":
            return
        if key == "save":
            try:
                print_result(str(painter.save(frame)))
            except ImpastoError as error:
                print_message(f"impasto: {error}")
        elif key:
            painter.change(key)


class Window:
    """OpenCV's window. Errors: ImpastoError where none can be opened."""

    def __init__(self) -> None:
        self._cv2 = _import_opencv()
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}:  # Qt would abort
            raise ImpastoError("there is no screen to open a window on: start it on a desktop")
        try:
            self._cv2.namedWindow(WINDOW, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO)
        except self._cv2.error:
            raise ImpastoError(
                "this OpenCV has no windows: pip uninstall opencv-python-headless, and then pip install "
                "--force-reinstall opencv-python, with which films can be painted as well"
            ) from None
        self._cv2.resizeWindow(WINDOW, *WINDOW_SIZE)

    def show(self, picture: "Tensor", words: str) -> str:
        """Show a picture, and words as the window's title, as for `paint_live`; closing the window quits."""
        pixels = (255 * picture[0].float()).round().byte().flip(0).permute(1, 2, 0)  # blue, green, red
        self._cv2.imshow(WINDOW, pixels.contiguous().cpu().numpy())
        self._cv2.setWindowTitle(WINDOW, f"impasto: {words}")
        key = self._cv2.waitKeyEx(1)
        is_open = self._cv2.getWindowProperty(WINDOW, self._cv2.WND_PROP_VISIBLE) >= 1
        return KEYS.get(key, "") if is_open else "quit"


def play_film(path: Path) -> Iterator["Image"]:
    """Yield the frames of a film at its own speed: those that would come too late are left out."""
    from impasto.films.image_sequence import open_reader

    began: float | None = None  # once what is loaded for the first frame is there
    for frame in open_reader(path, IMAGES_RATE):
        wait = 0.0 if began is None else began + float(frame.time) - time.perf_counter()
        if wait < -frame.duration:
            continue
        time.sleep(max(0.0, wait))
        yield frame.image
        began = time.perf_counter() - float(frame.time) if began is None else began


def read_camera(number: int) -> Iterator["Image"]:
    """Yield what a camera sees. Errors: ImpastoError where it brings nothing, or nothing more."""
    import torch

    from impasto.images.image import Image

    cv2 = _import_opencv()
    capture = cv2.VideoCapture(number)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # older frames would only be late
    try:
        while (read := capture.read())[0]:
            yield Image(torch.from_numpy(read[1]).permute(2, 0, 1).flip(0)[None] / 255)
    finally:
        capture.release()
    raise ImpastoError(
        f"camera {number} brings no picture: connect it, close other programs that use it, or name another with "
        "`camera`, or a film with `source`"
    )


def _import_opencv() -> Any:
    """Import OpenCV, and the films that it is used with."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # what it would print of a missing camera is said here
    try:
        import cv2

        import impasto.films.reader  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("av", "cv2"):
            raise
        raise ImpastoError(f"a live window needs PyAV and OpenCV: {describe_install('live')}") from None
    return cv2
