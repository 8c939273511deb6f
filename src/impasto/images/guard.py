"""What must stay readable in a photo: faces, found by scikit-image's detector, or what a mask says."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.masks import read_mask
from impasto.images.sizes import fit_size, resize_clamped
from impasto.settings.model import Settings

SEARCHED_SIDE = 384  # pixels that a photo's longer side is searched at
MIN_FACE_SIDE = 24  # pixels of these; the detector was trained at this size
MIN_AGREEING_WINDOWS = 10  # that see the same face: fewer are often none
FACE_RADIUS = 0.62  # of the circle that is kept, in sides of the detector's square
FACES_NOTE = "Faces were found, and are kept readable: `guard` 0 paints them as all the rest."
NOT_FOUND_NOTE = (
    "Faces, if there are any, are painted as all the rest: scikit-image, which finds them, is not installed "
    "(pip install '.[regions]' in a clone)."
)
SOFTNESS = 0.35  # of the radius, over which the circle ends


def find_guard_map(settings: Settings, photo: Image) -> tuple[Tensor | None, list[str]]:
    """Return a soft map (1, 1, h, w) in [0, 1], white where a photo must stay readable, and notes for the user.

    The map is `guard_mask`, or the faces that are found; None where there are none, or `guard` is 0.

    Errors: UsageError for a wrong mask, or where scikit-image is missing for a `guard` that is not the default;
    PictureError.
    """
    if not settings.guard:
        return None, []
    if settings.guard_mask:
        return read_mask(settings.guard_mask, "guard_mask", photo, "photo"), []
    is_default = settings.guard == Settings.model_fields["guard"].default  # as in the recipe of any picture
    if is_default and find_spec("skimage") is None:
        return None, [NOT_FOUND_NOTE]
    faces = find_faces(photo)
    return faces, [] if faces is None else [FACES_NOTE]


def find_faces(photo: Image) -> Tensor | None:
    """Return a soft map (1, 1, h, w) in [0, 1] that is white at a photo's faces; None where none is found.

    Errors: UsageError where scikit-image is missing.
    """
    width, height = fit_size(photo.width, photo.height, SEARCHED_SIDE, "shrink")
    if min(width, height) < MIN_FACE_SIDE:
        return None
    small = resize_clamped(photo.rgb.float(), width, height)
    windows = _load_detector().detect_multi_scale(
        (255 * small[0]).round().byte().permute(1, 2, 0).contiguous().cpu().numpy(),
        scale_factor=1.1,
        step_ratio=1,
        min_size=(MIN_FACE_SIDE, MIN_FACE_SIDE),
        max_size=(width, height),
        min_neighbor_number=MIN_AGREEING_WINDOWS,
    )
    if not windows:
        return None
    rows, columns = torch.arange(height).view(-1, 1) + 0.5, torch.arange(width).view(1, -1) + 0.5
    distances = [
        torch.hypot(rows - (it["r"] + it["height"] / 2), columns - (it["c"] + it["width"] / 2))
        / (FACE_RADIUS * it["width"])
        for it in windows
    ]
    nearest = torch.stack(distances).amin(0)
    return (1 + (1 - nearest) / SOFTNESS).clamp(0, 1)[None, None]


def _load_detector() -> Any:
    """Load the detector of frontal faces, trained by OpenCV's authors.

    Source: Zhang et al. 2007, "Face Detection Based on Multi-Block LBP Representation".
    """
    try:
        from skimage import data
        from skimage.feature import Cascade
    except ImportError:
        raise UsageError(
            "`guard`: scikit-image, which finds faces, is not installed: pip install '.[regions]' in a clone, or name "
            "what must stay readable in `guard_mask`"
        ) from None
    path = data.lbp_frontal_face_cascade_filename()  # type: ignore[no-untyped-call]
    return Cascade(path)
