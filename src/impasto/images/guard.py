"""What must stay readable in a photo: faces, found by dlib's detector, or what a mask says."""

from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from impasto.errors import UsageError, describe_install
from impasto.images.image import Image
from impasto.images.masks import read_mask
from impasto.images.sizes import fit_size, resize_clamped
from impasto.settings.model import Settings

SEARCHED_SIDE = 800  # pixels that a photo's longer side is searched at; faces of 40 are found
MIN_SCORE = 0.15  # that a face has in the detector: 987 photos had seven other things above 0, and none above this
FACE_RADIUS = 0.65  # of the circle that is kept, in sides of the detector's square
FACES_NOTE = "Faces were found, and are kept readable: `guard` 0 paints them as all the rest."
NOT_FOUND_NOTE = (
    "Faces, if there are any, are painted as all the rest: dlib, which finds them, is not installed "
    f"({describe_install('faces')})."
)
SOFTNESS = 0.35  # of the radius, over which the circle ends

_searching = Lock()  # the detector searches one photo at a time


def find_guard_map(settings: Settings, photo: Image) -> tuple[Tensor | None, list[str]]:
    """Return a soft map (1, 1, h, w) in [0, 1], white where a photo must stay readable, and notes for the user.

    The map is `guard_mask`, or the faces that are found; None where there are none, or `guard` is 0.

    Errors: UsageError for a wrong mask, or where dlib is missing for a `guard` that is not the default;
    PictureError.
    """
    if not settings.guard:
        return None, []
    if settings.guard_mask:
        return read_mask(settings.guard_mask, "guard_mask", photo, "photo"), []
    if missing := explain_missing_faces(settings):
        return None, [missing]
    faces = find_faces(photo)
    return faces, [] if faces is None else [FACES_NOTE]


def explain_missing_faces(settings: Settings) -> str:
    """Return why no faces are looked for with a `guard` that is the default, if dlib is missing; otherwise nothing."""
    is_default = settings.guard == Settings.model_fields["guard"].default  # as in the recipe of any picture
    is_missing = is_default and not settings.guard_mask and find_spec("dlib") is None
    return NOT_FOUND_NOTE if is_missing else ""


def find_faces(photo: Image) -> Tensor | None:
    """Return a soft map (1, 1, h, w) in [0, 1] that is white at a photo's faces; None where none is found.

    Errors: UsageError where dlib is missing.
    """
    width, height = fit_size(photo.width, photo.height, SEARCHED_SIDE, "shrink")
    small = (255 * resize_clamped(photo.rgb.float(), width, height)[0]).round().byte().permute(1, 2, 0)
    pixels = small.clone(memory_format=torch.contiguous_format).cpu()  # dlib reads the strides of single pixels too
    detector = load_detector()
    with _searching:
        squares, _scores, _poses = detector.run(pixels.numpy(), 1, MIN_SCORE)
    if not squares:
        return None
    rows, columns = torch.arange(height).view(-1, 1) + 0.5, torch.arange(width).view(1, -1) + 0.5
    distances = [
        torch.hypot(rows - (it.top() + it.bottom()) / 2, columns - (it.left() + it.right()) / 2)
        / (FACE_RADIUS * it.width())
        for it in squares
    ]
    nearest = torch.stack(distances).amin(0)
    return (1 + (1 - nearest) / SOFTNESS).clamp(0, 1)[None, None]


@cache  # it takes longer to load than to search a photo
def load_detector() -> Any:
    """Load dlib's detector of faces that look at the camera, or nearly; its weights are within the library.

    Sources: King 2015, "Max-Margin Object Detection"; Dalal and Triggs 2005, "Histograms of Oriented Gradients for
    Human Detection".
    """
    try:
        import dlib
    except ImportError:
        raise UsageError(
            f"`guard`: dlib, which finds faces, is not installed: {describe_install('faces')}, or name what must stay "
            "readable in `guard_mask`"
        ) from None
    return dlib.get_frontal_face_detector()
