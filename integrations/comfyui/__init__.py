"""impasto in ComfyUI: nodes that repaint images, or the frames of a film, in the style of paintings."""

import logging
import time
import tomllib
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from PIL import Image
from torch import Tensor

import impasto
from impasto.images.collection import COLLECTION

PROGRESS_TOTAL = 1000
SECONDS_BETWEEN_PREVIEWS, PREVIEW_SIDE_PIXELS = 0.5, 512
TYPES = {"string": "STRING", "integer": "INT", "number": "FLOAT"}
OPTIONS = {"minimum": "min", "maximum": "max", "default": "default", "description": "tooltip"}
SETTINGS_HELP = 'any other settings of impasto, one on a line: style_size = 0.5, or init = "noise"'
PAINTING_INPUTS = {
    "second_painting": ("IMAGE", {"tooltip": "the style where `mask` is black; without a mask, both are blended"}),
    "mask": ("MASK", {"tooltip": "white where `painting` gives the style"}),
    "preserve_mask": ("MASK", {"tooltip": "white where the photo stays as it is"}),
}


class CollectionNode:
    """Loads one of the public-domain paintings that come with impasto."""

    CATEGORY, RETURN_TYPES, FUNCTION = "image/impasto", ("IMAGE",), "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """Describe the inputs."""
        return {"required": {"name": (list(COLLECTION),)}}

    def load(self, name: str) -> tuple[Tensor]:
        """Return the painting (1, H, W, 3)."""
        with Image.open(COLLECTION[name].path) as picture:
            return (to_batch([picture.convert("RGB")]),)


class PaintNode:
    """Repaints each image of a batch in the style of a painting."""

    CATEGORY, RETURN_TYPES, FUNCTION = "image/impasto", ("IMAGE",), "paint"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """Describe the inputs."""
        widgets = make_widgets(impasto.Settings, "preset", "size", "style_weight", "color")
        return make_inputs({"photo": ("IMAGE",)}, widgets)

    def paint(
        self, photo: Tensor, mask: Tensor | None = None, preserve_mask: Tensor | None = None, **given: Any
    ) -> tuple[Tensor]:
        """Paint a picture of each photo (B, H, W, 3); masks (B or 1, H, W)."""
        bar, pictures = ProgressBar(len(photo)), []
        with torch.inference_mode(False), torch.enable_grad(), TemporaryDirectory() as name:
            for number in range(len(photo)):
                folder = Path(name) / str(number)
                masks = {
                    "mask": pick_mask(mask, number, len(photo)),
                    "preserve_mask": pick_mask(preserve_mask, number, len(photo)),
                }
                paintings, settings = prepare(folder, self.INPUT_TYPES(), **masks, **given)
                [file] = write_images(folder / "photo", photo[number : number + 1])
                run = impasto.start(file, paintings, **settings)
                bar.follow(run)
                pictures.append(run.picture())
        return (to_batch(pictures),)


class FilmNode:
    """Repaints the frames of a film in the style of a painting; the paint moves with the scene."""

    CATEGORY, RETURN_TYPES, FUNCTION = "image/impasto", ("IMAGE",), "paint"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        """Describe the inputs."""
        widgets = make_widgets(impasto.Settings, "preset", "size", "style_weight", "color")
        widgets["preset"][1]["default"] = "film"
        return make_inputs(
            {"frames": ("IMAGE",)}, widgets | make_widgets(impasto.FilmOptions, "temporal_weight", "passes")
        )

    def paint(self, frames: Tensor, **given: Any) -> tuple[Tensor]:
        """Paint frames (B, H, W, 3); masks (B or 1, H, W)."""
        with torch.inference_mode(False), torch.enable_grad(), TemporaryDirectory() as name:
            folder = Path(name)
            paintings, settings = prepare(folder, self.INPUT_TYPES(), **given)
            write_images(folder / "frames", frames)
            output = folder / "painted" / "%05d.png"
            output.parent.mkdir()
            with closing(impasto.film(folder / "frames", paintings, output=output, **settings)) as run:
                ProgressBar().follow(run)
            return (to_batch([Image.open(file) for file in sorted(output.parent.iterdir())]),)


class ProgressBar:
    """ComfyUI's progress bar and preview over so many runs; its button to cancel ends a run between two steps."""

    def __init__(self, runs: int = 1) -> None:
        self._bar, self._runs = comfy.utils.ProgressBar(PROGRESS_TOTAL), runs
        self._finished, self._previewed_at = 0, 0.0

    def follow(self, run: impasto.Run | impasto.FilmRun) -> None:
        """Paint a run to its end, and log its notes."""
        for step in run:
            comfy.model_management.throw_exception_if_processing_interrupted()
            done = round(PROGRESS_TOTAL * (self._finished + step.progress) / self._runs)
            self._bar.update_absolute(done, PROGRESS_TOTAL, self._make_preview(run))
        self._finished += 1
        for note in run.notes:
            logging.warning("impasto: %s", note)

    def _make_preview(self, run: impasto.Run | impasto.FilmRun) -> tuple[str, Image.Image, int] | None:
        if time.monotonic() - self._previewed_at < SECONDS_BETWEEN_PREVIEWS:
            return None
        self._previewed_at = time.monotonic()
        return "JPEG", run.picture().convert("RGB"), PREVIEW_SIDE_PIXELS


def make_inputs(pictures: dict[str, Any], widgets: dict[str, Any]) -> dict[str, Any]:
    """Describe the inputs of a node that paints."""
    painting = {"painting": ("IMAGE", {"tooltip": "the images of a batch are blended"})}
    settings = {"settings": ("STRING", {"default": "", "multiline": True, "tooltip": SETTINGS_HELP})}
    return {"required": {**pictures, **painting, **widgets, **settings}, "optional": PAINTING_INPUTS}


def make_widgets(model: type[impasto.Settings] | type[impasto.FilmOptions], *names: str) -> dict[str, Any]:
    """Make a widget for each of some settings, with the setting's default, range and help."""
    schemas = model.model_json_schema()["properties"]
    return {
        name: (
            schemas[name].get("enum", TYPES[schemas[name]["type"]]),
            {option: schemas[name][word] for word, option in OPTIONS.items() if word in schemas[name]},
        )
        for name in names
    }


def prepare(
    folder: Path,
    inputs: dict[str, Any],
    *,
    painting: Tensor,
    settings: str,
    second_painting: Tensor | None = None,
    mask: Tensor | None = None,
    preserve_mask: Tensor | None = None,
    **widgets: Any,
) -> tuple[list[Path], dict[str, Any]]:
    """Write paintings and masks to files; return the paintings and the settings that differ from the preset's.

    A widget at its default counts as not given. Masks of several frames are a folder.
    """
    chosen = {name: value for name, value in widgets.items() if value != inputs["required"][name][1]["default"]}
    try:
        chosen |= tomllib.loads(settings)
    except tomllib.TOMLDecodeError as error:
        raise impasto.UsageError(f"`settings` is not understood, {error}: it takes {SETTINGS_HELP}") from None
    first = write_images(folder / "painting", painting)
    others = [] if second_painting is None else write_images(folder / "second_painting", second_painting)
    for name, images in (("mask", mask), ("preserve_mask", preserve_mask)):
        if images is not None:
            files = write_images(folder / name, images)
            chosen[name] = str(files[0] if len(files) == 1 else folder / name)
    if mask is not None:
        chosen["mask"] = [chosen["mask"]] * len(first) + ["rest"] * len(others)
    return [*first, *others], chosen


def pick_mask(masks: Tensor | None, number: int, photos: int) -> Tensor | None:
    """Return the mask (1, H, W) of one photo of a batch; a single mask serves all."""
    if masks is None or len(masks) == 1:
        return masks
    if len(masks) != photos:
        raise impasto.UsageError(f"There are {len(masks)} masks for {photos} photos: give one, or one for each.")
    return masks[number : number + 1]


def write_images(folder: Path, images: Tensor) -> list[Path]:
    """Write images (B, H, W, C) or masks (B, H, W) to a folder, as PNG."""
    folder.mkdir(parents=True)
    files = [folder / f"{number:05}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray((image.clamp(0, 1) * 255).round().byte().cpu().numpy()).save(file, compress_level=1)
    return files


def to_batch(pictures: list[Image.Image]) -> Tensor:
    """Make a batch (B, H, W, C) of pictures of one size."""
    return torch.stack([torch.from_numpy(np.asarray(picture, np.float32) / 255) for picture in pictures])


NODE_CLASS_MAPPINGS = {"ImpastoPaint": PaintNode, "ImpastoFilm": FilmNode, "ImpastoCollection": CollectionNode}
NODE_DISPLAY_NAME_MAPPINGS = {
    "ImpastoPaint": "Paint (impasto)",
    "ImpastoFilm": "Paint film (impasto)",
    "ImpastoCollection": "Painting of the collection (impasto)",
}
