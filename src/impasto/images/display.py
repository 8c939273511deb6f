"""How a picture shows itself in a notebook."""

import base64
import io
from typing import Any, TypeAlias

from PIL import Image as PilImage

from impasto.images.sizes import fit_size

MimeBundle: TypeAlias = tuple[dict[str, Any], dict[str, Any]]  # data and metadata by MIME type, as IPython takes them

SHOWN_SIDE_PIXELS = 512  # of the longer side: a notebook stores every picture that it shows


def make_mime_bundle(picture: PilImage.Image, width: int, height: int, text: str) -> MimeBundle:
    """Make what a notebook shows of a picture that will have a size in pixels, and `text` for where it can't.

    Small early scales are shown as large as the finished picture, so that nothing moves as the picture grows.
    """
    shown = fit_size(width, height, SHOWN_SIDE_PIXELS, "shrink")
    small = picture.copy()
    small.thumbnail(shown)
    file = io.BytesIO()
    small.save(file, "PNG")
    png = base64.b64encode(file.getvalue()).decode()
    return {"image/png": png, "text/plain": text}, {"image/png": dict(zip(("width", "height"), shown, strict=True))}
