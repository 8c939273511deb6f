"""The kinds of files that are fuzzed: small whole ones to begin with, and how each is read."""

import functools
import io
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import safetensors.torch
import tifffile
import tomli_w
import torch
from PIL import Image as PilImage

import impasto
from impasto.batch.job_list import read_job_list
from impasto.fast.canvas import load_fast_network
from impasto.fast.decoder import load_decoder
from impasto.fast.style_file import read_style_file
from impasto.fast.transfer import StylePart, list_targets, transfer_style
from impasto.films.image_sequence import open_reader
from impasto.images.animation import is_animated, read_animation
from impasto.images.metadata import pack_xmp, read_embedded_text
from impasto.images.profiles import ADOBE_RGB_CORNERS, make_profile
from impasto.images.read import read_image
from impasto.images.write import write_image
from impasto.network.formats import read_weights
from impasto.network.vgg import VGG16_DEPTHS, plan_layers
from impasto.recipes.files import read_recipe
from impasto.runs.job import Job
from impasto.runs.resume import resume
from impasto.runs.run import Run
from impasto.runs.start import start_job
from impasto.settings.model import Settings

MAX_PIXELS = 1_000_000
HERE = Path(tempfile.mkdtemp(prefix="impasto-fuzz-"))
QUICK: dict[str, Any] = {"size": 32, "steps": 3, "later_steps": 2, "network": "slim", "views": (1.0,)}


class Kind(NamedTuple):
    """Whole files of a kind, with their suffixes, and how they are read."""

    make_files: Callable[[], Sequence[tuple[str, bytes]]]
    read: Callable[[Path], object]


def make_colors(width: int = 20, height: int = 14) -> np.ndarray:
    """A picture (H, W, 3) of some noise, which is the same each time."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def save(suffix: str, mode: str = "RGB", **options: Any) -> tuple[str, bytes]:
    """Save a small picture with Pillow."""
    file = io.BytesIO()
    exif = PilImage.Exif()
    exif[0x0112] = 6
    PilImage.fromarray(make_colors()).convert(mode).save(
        file, PilImage.registered_extensions()[suffix], exif=exif, **options
    )
    return suffix, file.getvalue()


def save_tiff(values: np.ndarray, **options: Any) -> tuple[str, bytes]:
    """Save a small picture with tifffile, which knows more kinds of TIFF."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return ".tif", file.getvalue()


def save_frames(suffix: str) -> tuple[str, bytes]:
    """Save an animation of three frames."""
    frames = [PilImage.fromarray(np.roll(make_colors(), shift)) for shift in range(3)]
    file = io.BytesIO()
    frames[0].save(file, PilImage.registered_extensions()[suffix], save_all=True, append_images=frames[1:])
    return suffix, file.getvalue()


def make_tiffs() -> list[tuple[str, bytes]]:
    colors = make_colors()
    return [
        save(".tif", compression="tiff_lzw"),
        save(".tif", "1", compression="group4"),
        save(".tif", "RGB", compression="jpeg"),
        save(".tif", "P"),
        save_tiff(colors.astype(np.uint16) * 257, photometric="rgb", compression="zlib", predictor=True),
        save_tiff(colors.astype(np.float32) / 255, photometric="rgb", tile=(16, 16)),
        save_tiff(np.repeat(colors, 2, 2)[..., :5], photometric="separated", extrasamples=["unassalpha"]),
        save_tiff(np.stack([colors, colors]), photometric="rgb", bigtiff=True),
    ]


def make_pngs() -> list[tuple[str, bytes]]:
    deep = PilImage.fromarray((make_colors()[..., 0].astype(np.uint16)) * 257)
    file = io.BytesIO()
    deep.save(file, "PNG")
    return [save(".png"), save(".png", "RGBA"), save(".png", "P"), (".png", file.getvalue())]


def make_jpegs() -> list[tuple[str, bytes]]:
    return [
        save(".jpg", xmp=pack_xmp("text"), icc_profile=make_profile(ADOBE_RGB_CORNERS, 2.2)),
        save(".jpg", progressive=True),
        save(".jpg", "CMYK"),
        save(".jpg", "L"),
    ]


def make_heics() -> list[tuple[str, bytes]]:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(PilImage.fromarray(make_colors(64, 64))).save(file, quality=50)
    return [(".heic", file.getvalue())]


def read_picture(path: Path) -> None:
    """Read a picture in all ways in which one is read."""
    problem = None
    for read in (functools.partial(read_image, max_pixels=MAX_PIXELS), read_embedded_text, is_animated):
        try:
            read(path)
        except impasto.ImpastoError as error:
            problem = error
    if problem:
        raise problem


def read_frames(path: Path) -> None:
    """Read a picture, and all frames of an animation."""
    with suppress(impasto.ImpastoError):
        read_picture(path)
    for _ in read_animation(path):
        pass


@functools.cache
def start_painting(folder: Path) -> Run:
    """Begin a small picture in a folder, with its checkpoint."""
    for name in ("photo.png", "painting.png"):
        (folder / name).write_bytes(save(".png")[1])
    settings = Settings(**QUICK)
    job = Job(
        photo=folder / "photo.png",
        paintings=(folder / "painting.png",),
        output=folder / "picture.png",
        settings=settings,
        checkpoint=str(folder / "picture.png.checkpoint"),
    )
    run = start_job(job)
    next(run)
    next(run)
    run.save_checkpoint()
    return run


def make_recipes() -> list[tuple[str, bytes]]:
    """A recipe in each kind of file."""
    recipe = start_painting(HERE).recipe()
    text = recipe.to_json()
    return [
        (".json", text.encode()),
        (".toml", tomli_w.dumps(recipe.to_dict()).encode()),
        *(save_recipe(suffix, text) for suffix in (".png", ".jpg", ".webp", ".tif")),
    ]


def save_recipe(suffix: str, text: str) -> tuple[str, bytes]:
    """Save a small picture with a recipe inside."""
    rgb = torch.from_numpy(make_colors()).permute(2, 0, 1)[None] / 255
    path = write_image(rgb, HERE / f"recipe{suffix}", embedded_text=text, overwrite=True)
    return suffix, path.read_bytes()


def make_checkpoints() -> list[tuple[str, bytes]]:
    """A checkpoint whose pictures lie in a folder that stays as long as the program."""
    start_painting(HERE)
    return [(".checkpoint", (HERE / "picture.png.checkpoint").read_bytes())]


def read_checkpoint(path: Path) -> None:
    """Continue a painting by a step."""
    next(resume(path), None)


def make_weights() -> dict[str, torch.Tensor]:
    """A VGG-16 of two channels a layer."""
    tensors: dict[str, torch.Tensor] = {}
    channels = 3
    for at, layer in enumerate(plan_layers(VGG16_DEPTHS)):
        if layer.startswith("conv"):
            tensors[f"features.{at}.weight"] = torch.full((2, channels, 3, 3), 0.1)
            tensors[f"features.{at}.bias"], channels = torch.zeros(2), 2
    return tensors


def save_weights() -> list[tuple[str, bytes]]:
    """The same weights by torch.save and as safetensors."""
    file = io.BytesIO()
    torch.save({"state_dict": make_weights()}, file)
    return [(".pth", file.getvalue()), (".safetensors", safetensors.torch.save(make_weights(), {"a": "b"}))]


def make_styles() -> list[tuple[str, bytes]]:
    """Style files, two of them with nothing but the largest numbers, and with numbers that are about none."""
    (HERE / "painting.png").write_bytes(save(".png")[1])
    data = impasto.save_style(HERE / "painting.png", HERE / "style.safetensors", size=64, overwrite=True).read_bytes()
    with safetensors.safe_open(HERE / "style.safetensors", "pt") as held:
        metadata = held.metadata()
    files = [data]
    for value in (10_000.0, 6e-8):
        tensors = safetensors.torch.load(data)
        for name in tensors.keys() - {"thumbnail"}:
            tensors[name] = torch.full_like(tensors[name], value)
        files.append(safetensors.torch.save(tensors, metadata))
    return [(".safetensors", each) for each in files]


def read_style(path: Path) -> None:
    """Read a style file, and paint with it."""
    style, device = read_style_file(path), torch.device("cpu")
    photo = torch.from_numpy(make_colors(32, 32)).permute(2, 0, 1)[None] / 255
    network, decoder = (load(device, torch.float32) for load in (load_fast_network, load_decoder))
    if not transfer_style(network, decoder, photo, [StylePart(list_targets(style.levels))]).isfinite().all():
        raise ValueError("the picture holds values that are no numbers")


def make_job_lists() -> list[tuple[str, bytes]]:
    """The same jobs in each kind of list."""
    jobs = [
        {"photo": "a.png", "painting": "b.png", "size": 64, "style_weight": 1.5},
        {"photo": "c.png", "paintings": ["d.png", "e.png"], "style_size": "0.5,400px", "mask": "rest,f.png"},
    ]
    rows = 'photo;paintings;size;style_weight\r\na.png;"b.png;c.png";64;1,5\r\n'
    return [
        (".csv", b'photo,painting,size,style_taps\na.png,b.png,64,relu1_1:1\n"c,d.png",e.png,,\n'),
        (".csv", rows.encode("utf-8-sig")),
        (".toml", tomli_w.dumps({"job": jobs}).encode()),
        (".jsonl", "\n".join(map(json.dumps, jobs)).encode()),
    ]


def make_films() -> list[tuple[str, bytes]]:
    """A film of five frames in each container."""
    return [
        make_film(".mp4", "libx264"),
        make_film(".mkv", "libx264"),
        make_film(".avi", "mpeg4"),
        make_film(".webm", "libvpx"),
    ]


def make_film(suffix: str, codec: str) -> tuple[str, bytes]:
    """Encode a film of five frames."""
    path = HERE / f"film{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for shift in range(5):
            picture = np.ascontiguousarray(np.roll(make_colors(32, 24), shift))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return suffix, path.read_bytes()


def read_film(path: Path) -> None:
    """Read the first frames of a film."""
    for _ in itertools.islice(open_reader(path, 25), 50):
        pass


def read_list(path: Path) -> None:
    """Read a job list."""
    read_job_list(path, {})


def read_network(path: Path) -> None:
    """Read a file of weights."""
    read_weights(path, "torchvision")


KINDS = {
    "jpeg": Kind(make_jpegs, read_picture),
    "png": Kind(make_pngs, read_picture),
    "webp": Kind(lambda: [save(".webp", lossless=True), save(".webp", "RGBA"), save_frames(".webp")], read_frames),
    "tiff": Kind(make_tiffs, read_picture),
    "gif": Kind(lambda: [save_frames(".gif"), save_frames(".png")], read_frames),
    "bmp": Kind(lambda: [save(".bmp"), save(".bmp", "P"), save(".bmp", "RGBA")], read_picture),
    "avif": Kind(lambda: [save(".avif"), save_frames(".avif")], read_frames),
    "heic": Kind(make_heics, read_picture),
    "others": Kind(lambda: [save(".ppm"), save(".pgm", "L"), save(".jp2")], read_picture),
    "recipe": Kind(make_recipes, read_recipe),
    "checkpoint": Kind(make_checkpoints, read_checkpoint),
    "weights": Kind(save_weights, read_network),
    "style": Kind(make_styles, read_style),
    "jobs": Kind(make_job_lists, read_list),
    "film": Kind(make_films, read_film),
}
