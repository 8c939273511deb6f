"""Kinds of picture files that people have: each is read with the right colors, or refused with what to do."""

import importlib.util
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags
from PIL import Image as PilImage

from impasto.errors import PictureError
from impasto.films.image_sequence import open_reader
from impasto.images.formats import RAW_SUFFIXES, WRITE_FORMATS
from impasto.images.profiles import ADOBE_RGB_CORNERS, SRGB_CORNERS, make_profile, open_profile
from impasto.images.read import read_image
from impasto.studio.uploads import is_film

HEIC_HEADER = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic") + b"\0" * 2000


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_colors(width: int = 32, height: int = 24) -> np.ndarray:
    """A smooth picture (H, W, 3) of many colors, 0 to 255."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([60 + 4 * x, 40 + 6 * y, 200 - 3 * x], -1).clip(0, 255).astype(np.uint8)


def make_pil() -> PilImage.Image:
    return PilImage.fromarray(make_colors())


def difference(path: str | Path, wanted: np.ndarray | None = None) -> float:
    """How far, at most, the levels of a picture are from those wanted, 0 to 255."""
    wanted = make_colors() if wanted is None else wanted
    found = read_image(path).rgb[0].permute(1, 2, 0).numpy() * 255
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max())


class TestCameraRaw:
    def refused(self, path: str) -> None:
        with pytest.raises(PictureError, match=rf"{path} is a camera's raw file: develop it first.* give the JPEG"):
            read_image(path)

    def test_dng_is_not_painted_from_its_preview(self) -> None:
        with tifffile.TiffWriter("a.tif") as file:  # whatever it is called
            version = [(50706, 1, 4, b"\1\4\0\0", True)]
            file.write(make_colors(), photometric="rgb", subfiletype=1, subifds=1, extratags=version)
            file.write(np.zeros((96, 128), np.uint16), photometric=32803)
        self.refused("a.tif")

    def test_preview_of_a_picture_in_a_sub_directory_is_refused(self) -> None:
        with tifffile.TiffWriter("a.tif") as file:
            file.write(make_colors(), photometric="rgb", subfiletype=1, subifds=1)
            file.write(np.zeros((96, 128), np.uint16), photometric=32803)
        self.refused("a.tif")

    def test_sensor_values_are_refused(self) -> None:
        tifffile.imwrite("a.tif", np.zeros((96, 128), np.uint16), photometric=32803)
        self.refused("a.tif")

    @pytest.mark.parametrize("suffix", RAW_SUFFIXES)
    def test_suffix_tells_where_the_content_is_tiff(self, suffix: str) -> None:
        tifffile.imwrite("a.tif", make_colors(), photometric="rgb")
        Path(f"a{suffix.upper()}").write_bytes(Path("a.tif").read_bytes())
        self.refused(f"a{suffix.upper()}")

    @pytest.mark.parametrize(
        "start",
        [b"FUJIFILMCCD-RAW 0201", b"IIRO\0\0", b"IIU\0\0", b"\0\0\0\x18ftypcrx ", b"II*\0\x10\0\0\0CR\2", b"FOVb"],
        ids=["RAF", "ORF", "RW2", "CR3", "CR2", "X3F"],
    )
    def test_content_tells_whatever_the_suffix(self, start: bytes) -> None:
        Path("a.jpg").write_bytes(start.ljust(500, b"\0"))
        self.refused("a.jpg")

    def test_jpeg_of_a_raw_suffix_is_read(self) -> None:
        make_pil().save("a.jpg", quality=95)
        Path("a.jpg").rename("a.nef")
        assert difference("a.nef") < 12


class TestTiff:
    def test_reduced_page_is_passed_over(self) -> None:
        with tifffile.TiffWriter("a.tif") as file:
            file.write(make_colors(8, 6), photometric="rgb", subfiletype=1)
            file.write(make_colors(), photometric="rgb")
        assert difference("a.tif") == 0
        assert read_image("a.tif").notes == ()

    def test_reduced_page_of_16_bits_is_passed_over(self) -> None:
        with tifffile.TiffWriter("a.tif") as file:
            file.write(make_colors(8, 6), photometric="rgb", subfiletype=1)
            file.write(make_colors().astype(np.uint16) * 257, photometric="rgb")
        assert difference("a.tif") < 1e-3

    def test_pages_are_told(self) -> None:
        with tifffile.TiffWriter("a.tif") as file:
            for shade in (0, 1, 2):
                file.write(make_colors() // (shade + 1), photometric="rgb")
        assert difference("a.tif") == 0
        assert read_image("a.tif").notes == ("a.tif has 3 pages, of which page 1 is painted",)

    def test_pages_in_a_circle_are_one(self) -> None:
        tifffile.imwrite("a.tif", make_colors(), photometric="rgb", metadata=None)
        data = bytearray(Path("a.tif").read_bytes())
        first = struct.unpack_from("<I", data, 4)[0]
        after = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
        struct.pack_into("<I", data, after, first)
        Path("a.tif").write_bytes(data)
        assert read_image("a.tif").notes == ()

    @pytest.mark.parametrize("brightest", [1.0, 1.02, 4.0])
    def test_float_of_overshoot_is_cut_at_1(self, brightest: float) -> None:
        gray = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
        gray[0, 0] = brightest
        tifffile.imwrite("a.tif", gray)
        assert difference("a.tif", gray.clip(0, 1)[..., None].repeat(3, 2) * 255) < 1e-3
        assert len(read_image("a.tif").notes) == (brightest > 1)

    def test_float_of_levels_may_overshoot_255(self) -> None:
        tifffile.imwrite("a.tif", np.linspace(0, 260, 400, dtype=np.float32).reshape(20, 20))
        assert difference("a.tif", np.linspace(0, 260, 400).clip(0, 255).reshape(20, 20, 1).repeat(3, 2)) < 1e-3
        (note,) = read_image("a.tif").notes
        assert note == "a.tif does not say how bright white is: it is taken to be 255, of up to 260"

    @pytest.mark.parametrize(("kind", "planes"), [(np.float16, False), (np.float32, False), (np.float32, True)])
    def test_float_color_is_read(self, kind: type, planes: bool) -> None:
        values = (make_colors() / 255).astype(kind)
        options: dict[str, Any] = {"planarconfig": "separate"} if planes else {}
        tifffile.imwrite("a.tif", values.transpose(2, 0, 1) if planes else values, photometric="rgb", **options)
        assert difference("a.tif") < 0.1

    @pytest.mark.parametrize(("kind", "planes"), [(np.float16, True), (np.float64, False)])
    def test_other_floats_are_refused(self, kind: type, planes: bool) -> None:
        values = (make_colors() / 255).astype(kind)
        options: dict[str, Any] = {"planarconfig": "separate"} if planes else {}
        tifffile.imwrite("a.tif", values.transpose(2, 0, 1) if planes else values, photometric="rgb", **options)
        with pytest.raises(PictureError, match=r"a\.tif is a TIFF of (16|64)-bit numbers.*: save it with 8 bits"):
            read_image("a.tif")

    def test_float_color_goes_through_its_profile(self) -> None:
        linear = (make_colors() / 255) ** 2.2
        profile = make_profile(SRGB_CORNERS, 1.0)
        tifffile.imwrite("a.tif", linear.astype(np.float32), photometric="rgb", iccprofile=profile)
        assert difference("a.tif", make_colors()) < 8  # the sRGB curve is not quite 2.2
        assert len(read_image("a.tif").rgb.unique()) > 250

    def test_alpha_of_floats_is_read(self) -> None:
        values = np.concatenate([make_colors() / 255, np.full((24, 32, 1), 0.25)], -1).astype(np.float32)
        tifffile.imwrite("a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
        assert difference("a.tif") < 1e-3
        alpha = read_image("a.tif").alpha
        assert alpha is not None
        assert alpha.unique().tolist() == [0.25]

    @pytest.mark.parametrize("alpha", [255, 128])
    def test_cmyk_with_alpha_is_read(self, alpha: int) -> None:
        ink = np.concatenate([255 - make_colors(), np.zeros((24, 32, 1)), np.full((24, 32, 1), alpha)], -1)
        tifffile.imwrite("a.tif", ink.astype(np.uint8), photometric="separated", extrasamples=["unassalpha"])
        assert difference("a.tif") < 1e-3
        found = read_image("a.tif").alpha
        assert (found is None) if alpha == 255 else (found is not None and round(float(found.mean()) * 255) == 128)

    def test_size_is_limited_before_decoding(self) -> None:
        tifffile.imwrite("a.tif", make_colors().astype(np.float32), photometric="rgb")
        with pytest.raises(PictureError, match=r"more than 700 pixels \(it is 32 x 24\)"):
            read_image("a.tif", max_pixels=700)


def to_adobe_rgb(colors: np.ndarray) -> np.ndarray:
    """Express sRGB colors in Adobe RGB's numbers; source: Lindbloom's matrices of both spaces."""
    s = colors / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    srgb = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    )
    adobe = np.array(
        [[0.5767309, 0.185554, 0.1881852], [0.2973769, 0.6273491, 0.0752741], [0.0270343, 0.0706872, 0.9911085]]
    )
    mixed = (linear @ (np.linalg.inv(adobe) @ srgb).T).clip(0, 1)
    return (mixed ** (256 / 563) * 255).round().astype(np.uint8)


class TestColorSpaces:
    def make_exif(self, color_space: int, index: str) -> PilImage.Exif:
        exif = PilImage.Exif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        inner[ExifTags.Base.ColorSpace] = color_space
        inner[ExifTags.IFD.Interop] = {1: index, 2: b"0100"}
        exif[ExifTags.IFD.Exif] = inner
        return exif

    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif"])
    def test_adobe_rgb_told_by_exif_alone(self, name: str) -> None:
        options: dict[str, Any] = {"quality": 100}
        options |= {"subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
        PilImage.fromarray(to_adobe_rgb(make_colors())).save(name, exif=self.make_exif(65535, "R03"), **options)
        assert difference(name) < 8

    def test_profile_and_srgb_come_before_exif(self) -> None:
        profile = make_profile(SRGB_CORNERS, 2.2)
        for index, options in (("R03", {"icc_profile": profile}), ("R98", {})):
            make_pil().save("a.png", exif=self.make_exif(65535, index), **options)
            assert difference("a.png") < 8

    def test_made_profile_is_adobe_rgb(self) -> None:
        profile = open_profile(make_profile(ADOBE_RGB_CORNERS, 563 / 256), 3)
        assert profile
        assert np.abs(profile.to_srgb(to_adobe_rgb(make_colors())).astype(int) - make_colors()).max() <= 2

    def save_png(self, image: PilImage.Image, *chunks: tuple[bytes, bytes]) -> None:
        image.save("a.png")
        data = Path("a.png").read_bytes()
        added = b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
        Path("a.png").write_bytes(data[:33] + added + data[33:])

    def gamma(self, value: float) -> tuple[bytes, bytes]:
        return b"gAMA", struct.pack(">I", round(value * 100_000))

    def test_png_gamma_is_followed(self) -> None:
        linear = PilImage.fromarray(((make_colors() / 255) ** 2.2 * 255).round().astype(np.uint8))
        self.save_png(linear, self.gamma(1))
        assert difference("a.png") < 12

    def test_png_gamma_of_16_bits_is_followed(self) -> None:
        gray = np.linspace(0, 1, 256).reshape(16, 16)
        self.save_png(PilImage.fromarray((gray**2.2 * 65535).astype(np.uint16)), self.gamma(1))
        assert difference("a.png", gray[..., None].repeat(3, 2) * 255) < 10

    def test_usual_png_gamma_means_srgb(self) -> None:
        corners = b"cHRM", struct.pack(">8I", *(round(corner * 100_000) for corner in SRGB_CORNERS))
        self.save_png(make_pil(), self.gamma(0.45455), corners)
        assert difference("a.png") == 0

    def test_png_corners_are_followed(self) -> None:
        corners = b"cHRM", struct.pack(">8I", *(round(corner * 100_000) for corner in ADOBE_RGB_CORNERS))
        self.save_png(PilImage.fromarray(to_adobe_rgb(make_colors())), self.gamma(256 / 563), corners)
        assert difference("a.png") <= 2

    def test_png_srgb_comes_before_gamma(self) -> None:
        self.save_png(make_pil(), (b"sRGB", b"\0"), self.gamma(1))
        assert difference("a.png") == 0

    @pytest.mark.parametrize("value", [0, 0.00001, 20000])
    def test_senseless_png_gamma_is_ignored(self, value: float) -> None:
        self.save_png(make_pil(), self.gamma(value))
        assert difference("a.png") == 0


class TestPhones:
    def test_heic_is_read_upright(self) -> None:
        pillow_heif = pytest.importorskip("pillow_heif")
        exif = PilImage.Exif()
        exif[ExifTags.Base.Orientation] = 6
        turned = make_pil().transpose(PilImage.Transpose.ROTATE_90)
        pillow_heif.from_pillow(turned).save("a.jpg", quality=100, exif=exif.tobytes(), chroma=444)
        assert difference("a.jpg") < 12

    def test_damaged_heic_is_named(self) -> None:
        pytest.importorskip("pillow_heif")
        Path("a.heic").write_bytes(HEIC_HEADER)
        with pytest.raises(PictureError, match=r"a\.heic is a HEIC picture, but damaged"):
            read_image("a.heic")

    def test_heic_without_its_reader_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        Path("a.heic").write_bytes(HEIC_HEADER)
        with pytest.raises(PictureError, match=r"a\.heic is a HEIC picture.*pip install '\.\[heic\]' in a clone"):
            read_image("a.heic")

    def test_avif_is_read(self) -> None:
        make_pil().save("a.avif", quality=100)
        assert difference("a.avif") < 8

    def test_jpeg_called_heic_is_read(self) -> None:
        make_pil().save("a.jpg", quality=95)
        Path("a.jpg").rename("a.HEIC")
        assert difference("a.HEIC") < 12


class TestOthers:
    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
    def test_first_frame_of_an_animation_is_told(self, name: str) -> None:
        frames = [PilImage.new("RGB", (32, 24), (shade, shade, shade)) for shade in (0, 100, 200)]
        frames[0].save(name, save_all=True, append_images=frames[1:])
        picture = read_image(name)
        assert float(picture.rgb.max()) < 0.1
        (note,) = picture.notes
        assert note == (f"{name} is an animation of 3 frames, of which the first is painted; `impasto film` paints all")

    def test_single_gif_has_no_note(self) -> None:
        make_pil().quantize(256).save("a.gif")
        assert read_image("a.gif").notes == ()

    def test_animation_damaged_behind_its_first_frame_is_read(self) -> None:
        frames = [
            PilImage.fromarray(np.random.default_rng(n).integers(0, 255, (24, 32)).astype(np.uint8)) for n in (1, 2)
        ]
        frames[0].save("a.gif", save_all=True, append_images=frames[1:])
        Path("a.gif").write_bytes(Path("a.gif").read_bytes()[:-300])
        assert read_image("a.gif").rgb.shape == (1, 3, 24, 32)

    @pytest.mark.parametrize("alpha", [0, 128])
    def test_bmp_with_zero_alpha_is_opaque(self, alpha: int) -> None:
        pixels = np.concatenate([make_colors()[::-1, :, ::-1], np.full((24, 32, 1), alpha, np.uint8)], -1).tobytes()
        info = struct.pack("<IiiHHIIiiII", 124, 32, 24, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
        info += struct.pack("<4I4s48x4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs", 4, 0, 0, 0)
        start = 14 + len(info)
        Path("a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + pixels)
        assert difference("a.bmp") < 1e-3
        assert (read_image("a.bmp").alpha is None) == (alpha == 0)

    @pytest.mark.parametrize(
        ("start", "words"),
        [
            (b"8BPS\0\1", "is a Photoshop file: open it in a program that shows it, and save it as PNG"),
            (b"%PDF-1.7", "is a PDF file"),
            (b"%!PS-Adobe-3.0 EPSF-3.0", "is a PostScript file"),
            (b"<svg xmlns=", "is a drawing in SVG"),
            (b"\xff\x0a\0\0", "is a JPEG XL picture"),
            (b"\x76\x2f\x31\x01", "is an OpenEXR picture"),
            (b'<?xml version="1.0"?>', "is a drawing in SVG, or another text in XML"),
            (b"\0\0\1\0\1\0", "is an icon"),
            (b"DDS |", "is a game's texture"),
            (b"<!doctype html><html>", "is a web page, not a picture: save the picture itself"),
            (b"PK\3\4\x14\0", "is an archive or an office document"),
            (
                b"\0\0\0\x20ftypisom",
                "is a film, not a picture: `impasto film` paints it, and a frame of it saved as a picture can be",
            ),
            (b"\0\0\0\x18ftyp3gp5", "is a film, not a picture"),
            (b"\x1a\x45\xdf\xa3\x9f\x42", "is a film, not a picture"),
            (b"RIFF\0\0\0\0AVI LIST", "is a film, not a picture"),
        ],
    )
    def test_other_formats_are_named(self, start: bytes, words: str) -> None:
        Path("a.png").write_bytes(start.ljust(100, b"\0"))
        with pytest.raises(PictureError, match=rf"a\.png {words}"):
            read_image("a.png")


def test_every_written_suffix_is_read(tmp_path: Path) -> None:
    for suffix in WRITE_FORMATS:
        make_pil().save(tmp_path / f"a{suffix}")
        assert torch.isfinite(read_image(tmp_path / f"a{suffix}").rgb).all()


@pytest.mark.parametrize(("brand", "expected"), [(b"isom", True), (b"heic", False), (b"avif", False), (b"mif1", False)])
def test_uploads_of_phones_are_no_films(tmp_path: Path, brand: bytes, expected: bool) -> None:
    (tmp_path / "upload").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(20))
    assert is_film(tmp_path / "upload") == expected


def test_avif_sequence_is_read_frame_by_frame() -> None:
    frames = [PilImage.new("RGB", (32, 24), (shade, shade, shade)) for shade in (0, 100, 200)]
    frames[0].save("a.avif", save_all=True, append_images=frames[1:], duration=50, quality=100)
    shades = [round(float(frame.image.rgb.mean()) * 255) for frame in open_reader(Path("a.avif"), 25)]
    assert shades == pytest.approx([0, 100, 200], abs=3)
