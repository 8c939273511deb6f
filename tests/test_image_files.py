import dataclasses
import io
import os
import struct
import sys
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from conftest import limit_file_size
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from impasto.errors import PictureError, UsageError
from impasto.images.metadata import read_embedded_text
from impasto.images.output import check_output
from impasto.images.read import read_image
from impasto.images.write import to_pil, write_image
from impasto.recipes.files import read_recipe

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def noise(width=7, height=5, channels=3, seed=0):
    return torch.rand((1, channels, height, width), generator=torch.Generator().manual_seed(seed))


def colors(picture):
    """Rows of (red, green, blue) from 0 to 255."""
    return (picture.rgb[0].permute(1, 2, 0) * 255).round().int().tolist()


def profile_bytes(profile):
    return ImageCms.ImageCmsProfile(profile).tobytes()


SRGB = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
DISPLAY_P3 = (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)
ADOBE_RGB = (0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)


def gamma_profile(space, gamma, primaries=SRGB):
    """A made ICC v2 profile of one gamma: gray, or RGB with the primaries red, green and blue as XYZ under D50."""

    def xyz(x, y, z):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in (x, y, z)))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    red, green, blue = primaries
    tags = {b"wtpt": xyz(0.9642, 1, 0.8249), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"made\0" + b"\0" * 79
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(*red), b"gXYZ": xyz(*green), b"bXYZ": xyz(*blue)}
        tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    white = struct.pack(">3i", 63190, 65536, 54061)
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"none", 0x02200000, b"mntr", space, b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + white
    return head.ljust(128, b"\0") + body


def write_16_bit_file(path, numbers, profile):
    """Write (H, W, 3) of 16 bits with a profile, as another program would."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, numbers, photometric="rgb", iccprofile=profile)
        return
    height, width = numbers.shape[:2]
    image = pyvips.Image.new_from_memory(numbers.tobytes(), width, height, 3, "ushort").copy(interpretation="rgb16")
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    image.pngsave(str(path))


def srgb_of(linear):
    return 1.055 * linear ** (1 / 2.4) - 0.055


class TestRoundTrip:
    @pytest.mark.slow
    @settings(deadline=None, max_examples=40)
    @given(
        st.integers(1, 40),
        st.integers(1, 140),
        st.booleans(),
        st.sampled_from([(".png", 8), (".tif", 8), (".webp", 8), (".png", 16), (".TIFF", 16)]),
    )
    def test_lossless_formats_round_trip(self, tmp_path_factory, width, height, transparent, form):
        suffix, bits = form
        rgb = noise(width, height)
        alpha = noise(width, height, channels=1, seed=1).clamp(max=0.9) if transparent else None
        path = tmp_path_factory.mktemp("trip") / f"picture{suffix}"
        assert write_image(rgb, path, alpha=alpha, bits=bits, quality=100) == path
        back = read_image(path)
        assert back.path == path
        tolerance = 0.5001 / (2**bits - 1)  # rounded, not truncated
        torch.testing.assert_close(back.rgb, rgb, atol=tolerance, rtol=0)
        if transparent:
            torch.testing.assert_close(back.alpha, alpha, atol=tolerance, rtol=0)
        else:
            assert back.alpha is None

    @pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
    def test_lossy_formats_round_trip_nearly(self, tmp_path, suffix):
        smooth = torch.linspace(0, 1, 32).expand(1, 3, 24, 32).clone()
        back = read_image(write_image(smooth, tmp_path / f"smooth{suffix}"))
        assert (back.rgb - smooth).abs().max() < 6 / 255

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
    def test_written_files_carry_the_srgb_profile(self, tmp_path, suffix):
        for bits in (8, 16) if suffix in (".png", ".tif") else (8,):
            path = write_image(noise(), tmp_path / f"{bits}{suffix}", bits=bits)
            with Image.open(path) as image:
                profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            assert "sRGB" in profile.profile.profile_description

    def test_equal_pictures_make_equal_files(self, tmp_path):
        for name in ("a.png", "a.jpg", "a.tif", "a.webp"):
            first = write_image(noise(), tmp_path / name).read_bytes()
            assert write_image(noise(), tmp_path / name, overwrite=True).read_bytes() == first

    def test_other_programs_read_16_bit_tiff(self, tmp_path):
        rgb, alpha = noise(33, 150), noise(33, 150, channels=1, seed=1)
        wanted = (torch.cat([rgb, alpha], dim=1)[0].permute(1, 2, 0) * 65535).round().int().numpy()
        np.testing.assert_array_equal(tifffile.imread(write_image(rgb, tmp_path / "a.tif", bits=16)), wanted[..., :3])
        np.testing.assert_array_equal(
            tifffile.imread(write_image(rgb, tmp_path / "b.tif", alpha=alpha, bits=16)), wanted
        )

    def test_other_programs_read_16_bit_png(self, tmp_path):
        rgb = noise(33, 150)
        with Image.open(write_image(rgb, tmp_path / "a.png", bits=16)) as image:
            high_bytes = np.asarray(image)
        wanted = (rgb[0].permute(1, 2, 0) * 65535).round().int().numpy()
        np.testing.assert_array_equal(high_bytes, wanted >> 8)

    def test_color_under_full_transparency_is_kept(self, tmp_path):
        rgb, alpha = noise(), torch.ones(1, 1, 5, 7)
        alpha[..., :3] = 0
        for name in ("a.png", "a.tif", "a.webp"):
            back = read_image(write_image(rgb, tmp_path / name, alpha=alpha, quality=100))
            torch.testing.assert_close(back.rgb, rgb, atol=0.5001 / 255, rtol=0)
            assert torch.equal(back.alpha, alpha)

    def test_float64_values_out_of_range_are_clamped(self, tmp_path):
        rgb = torch.tensor([-1.0, 0.5, 3.0], dtype=torch.float64).view(1, 3, 1, 1).requires_grad_()
        assert colors(read_image(write_image(rgb, tmp_path / "a.png"))) == [[[0, 128, 255]]]

    def test_to_pil_rounds_and_tags(self):
        image = to_pil(torch.full((1, 3, 2, 3), 0.999), torch.full((1, 1, 2, 3), 0.5))
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGBA", (3, 2), (255, 255, 255, 128))
        assert read_image(image).path is None
        assert image.info["icc_profile"]


class TestModes:
    def check(self, image, wanted, tolerance=0):
        found = torch.tensor(colors(read_image(image)))
        assert (found - torch.tensor(wanted)).abs().max() <= tolerance, found

    def test_gray_black_and_white_and_palette(self):
        self.check(Image.new("L", (1, 1), 77), [[[77] * 3]])
        self.check(Image.new("1", (1, 1), 1), [[[255] * 3]])
        self.check(Image.new("LA", (1, 1), (77, 9)), [[[77] * 3]])
        self.check(Image.new("RGB", (1, 1), RED).quantize(4), [[RED]])
        self.check(Image.new("RGBa", (1, 1), (64, 0, 0, 128)), [[(127, 0, 0)]], 1)
        self.check(Image.new("HSV", (1, 1), (0, 255, 255)), [[RED]])

    def test_cmyk_without_a_profile(self):
        self.check(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), [[RED]])
        self.check(Image.new("CMYK", (1, 1), (0, 0, 0, 128)), [[[127] * 3]])

    def test_cmyk_jpeg_is_not_inverted(self, tmp_path):
        Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
        found = read_image(tmp_path / "a.jpg").rgb[0, :, 8, 8]
        torch.testing.assert_close(found, torch.tensor([1.0, 0, 0]), atol=0.02, rtol=0)

    def test_ycbcr_and_lab(self):
        self.check(Image.new("YCbCr", (1, 1), (76, 85, 255)), [[(254, 0, 0)]], 1)
        self.check(Image.new("LAB", (1, 1), (255, 128, 128)), [[WHITE]], 1)
        red = bytes([138, 81, 70])  # sRGB's red is L* 54.3 (of 100, here of 255), a* 80.8, b* 69.9 under D50
        self.check(Image.frombytes("LAB", (1, 1), red), [[RED]], 6)

    @pytest.mark.parametrize(
        ("numbers", "kind", "wanted"),
        [
            ([0, 32768, 65535], np.uint16, [0, 32768 / 65535, 1]),
            ([0, 100, 200], np.uint16, [0, 100 / 65535, 200 / 65535]),
            ([-5, 100, 255], np.int32, [0, 100 / 255, 1]),
            ([0, 300, 65535], np.int32, [0, 300 / 65535, 1]),
            ([0, 2**30, 2**31 - 1], np.int32, [0, 0.5, 1]),
            ([0, 0.25, 0.5], np.float32, [0, 0.25, 0.5]),
            ([0, 64, 255], np.float32, [0, 64 / 255, 1]),
            ([0, 5e9, 1e10], np.float32, [0, 0.5, 1]),
        ],
    )
    def test_more_than_8_bits_are_scaled_by_the_usual_white(self, tmp_path, numbers, kind, wanted):
        image = Image.fromarray(np.array([numbers], kind))
        image.save(tmp_path / "a.tif")
        for source in (image, tmp_path / "a.tif"):
            rgb = read_image(source).rgb
            assert rgb.dtype == torch.float32
            torch.testing.assert_close(rgb, torch.tensor(wanted).expand(1, 3, 1, 3), atol=1e-6, rtol=0)

    def test_16_bit_gray_png_is_read(self, tmp_path):
        Image.fromarray(np.array([[1, 1000, 65535]], np.uint16)).save(tmp_path / "a.png")
        torch.testing.assert_close(read_image(tmp_path / "a.png").rgb[0, 0, 0], torch.tensor([1, 1000, 65535]) / 65535)

    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_16_bit_tiff_of_other_programs_is_read(self, tmp_path, byteorder, compression, channels):
        numbers = np.random.default_rng(0).integers(0, 65536, (9, 6, channels), dtype=np.uint16)
        extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, numbers, photometric="rgb", byteorder=byteorder, compression=compression, **extra)
        picture = read_image(path)
        wanted = torch.from_numpy(numbers.astype(np.float32) / 65535).permute(2, 0, 1)[None]
        assert torch.equal(picture.rgb, wanted[:, :3])
        if channels == 4:
            assert torch.equal(picture.alpha, wanted[:, 3:])

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_fewer_bits_in_16_are_noted(self, tmp_path, name):
        numbers = np.arange(24, dtype=np.uint16).reshape(2, 4, 3) * 177
        for factor, notes in ((1, 1), (16, 0), (0, 0)):
            write_16_bit_file(tmp_path / name, numbers * factor, None)
            said = read_image(tmp_path / name).notes
            assert len(said) == notes
            if said:
                assert "its brightest value is 4071 of 65535: it may hold 12-bit numbers; multiply all by 16" in said[0]

    def test_16_bit_gray_whose_white_is_zero(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 65535]], np.uint16), photometric="miniswhite")
        assert read_image(tmp_path / "a.tif").rgb[0, 0].tolist() == [[1, 0]]

    def test_16_bit_planes_are_read(self, tmp_path):
        planes = np.random.default_rng(0).integers(0, 65536, (3, 5, 7), dtype=np.uint16)
        tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
        assert torch.equal(read_image(tmp_path / "a.tif").rgb[0], torch.from_numpy(planes.astype(np.float32) / 65535))

    def test_reading_nan_is_refused(self, tmp_path):
        Image.fromarray(np.array([[0, np.nan]], np.float32)).save(tmp_path / "a.tif")
        with pytest.raises(PictureError, match=r"a\.tif holds values that are no numbers"):
            read_image(tmp_path / "a.tif")

    def test_animation_gives_its_first_frame(self, tmp_path):
        frames = [Image.new("RGB", (4, 3), color) for color in (RED, BLUE)]
        for name in ("a.gif", "a.webp", "a.png", "a.tif"):
            frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
            assert colors(read_image(tmp_path / name))[0][0] == list(RED)

    def test_one_pixel_and_one_line_are_read(self, tmp_path):
        for width, height in ((1, 1), (300, 1), (1, 300)):
            path = write_image(noise(width, height), tmp_path / f"{width}x{height}.png")
            assert read_image(path).rgb.shape == (1, 3, height, width)

    def test_no_pixels_are_refused(self):
        with pytest.raises(PictureError, match=r"the picture given has no pixels \(0 x 5\)"):
            read_image(Image.new("RGB", (0, 5)))

    def test_reading_leaves_the_image_given_unchanged(self):
        image = Image.new("RGB", (2, 1), RED)
        picture = read_image(image)
        picture.rgb.zero_()
        assert image.getpixel((0, 0)) == RED
        with pytest.raises(dataclasses.FrozenInstanceError):
            picture.rgb = torch.ones(1)  # type: ignore[misc]


class TestTransparency:
    def test_palette(self, tmp_path):
        image = Image.new("P", (3, 1))
        image.putpalette([*RED, *GREEN, *BLUE])
        image.putdata([0, 1, 2])
        image.save(tmp_path / "one.gif", transparency=1)
        image.save(tmp_path / "many.png", transparency=bytes([255, 0, 51]))
        assert read_image(tmp_path / "one.gif").alpha.tolist() == [[[[1, 0, 1]]]]
        many = read_image(tmp_path / "many.png")
        assert colors(many) == [[list(RED), list(GREEN), list(BLUE)]]
        torch.testing.assert_close(many.alpha, torch.tensor([[[[1, 0, 0.2]]]]))

    def test_one_transparent_color(self, tmp_path):
        for mode, values, key in (("L", (7, 9), 9), ("RGB", (RED, GREEN), GREEN), ("I;16", (7, 999), 999)):
            image = Image.new(mode, (2, 1))
            image.putpixel((0, 0), values[0])
            image.putpixel((1, 0), values[1])
            image.save(tmp_path / "a.png", transparency=key)
            assert read_image(tmp_path / "a.png").alpha.tolist() == [[[[1, 0]]]]

    def test_one_transparent_color_of_16_bits(self, tmp_path):
        path = write_image(torch.tensor([[0.5, 0.5], [0, 1], [1, 0]]).view(1, 3, 1, 2), tmp_path / "a.png", bits=16)
        head, data = path.read_bytes().split(b"IDAT", 1)
        key = b"tRNS" + struct.pack(">3H", 32768, 65535, 0)
        chunk = struct.pack(">I", 6) + key + struct.pack(">I", zlib.crc32(key))
        path.write_bytes(head[:-4] + chunk + head[-4:] + b"IDAT" + data)
        assert read_image(path).alpha.tolist() == [[[[1, 0]]]]

    def test_opaque_alpha_is_none(self):
        assert read_image(Image.new("RGBA", (3, 3), (1, 2, 3, 255))).alpha is None
        assert read_image(Image.new("RGBA", (3, 3), (1, 2, 3, 254))).alpha is not None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize(
    ("orientation", "wanted"),  # where the stored quarters a b / c d / e f come to lie
    [
        (1, "ab/cd/ef"),
        (2, "ba/dc/fe"),
        (3, "fe/dc/ba"),
        (4, "ef/cd/ab"),
        (5, "ace/bdf"),
        (6, "eca/fdb"),
        (7, "fdb/eca"),
        (8, "bdf/ace"),
        (77, "ab/cd/ef"),
    ],
)
def test_exif_orientation_is_applied(tmp_path, suffix, orientation, wanted):
    grays = {letter: 40 * number for number, letter in enumerate("abcdef")}
    stored = np.array([[grays["a"], grays["b"]], [grays["c"], grays["d"]], [grays["e"], grays["f"]]], np.uint8)
    image = Image.fromarray(stored.repeat(16, axis=0).repeat(16, axis=1)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    image.save(tmp_path / f"a{suffix}", exif=exif, **options)
    found = read_image(tmp_path / f"a{suffix}").rgb[0, 0, 8::16, 8::16] * 255
    upright = torch.tensor([[grays[letter] for letter in row] for row in wanted.split("/")])
    assert found.shape == upright.shape
    assert (found - upright).abs().max() < 4


def test_exif_orientation_is_applied_to_16_bits_and_alpha(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 65536, (4, 6, 4), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", numbers, photometric="rgb", extrasamples=["unassalpha"], extratags=[(274, 3, 1, 6, True)]
    )
    picture = read_image(tmp_path / "a.tif")
    upright = torch.from_numpy(np.rot90(numbers, -1).astype(np.float32) / 65535).permute(2, 0, 1)
    assert torch.equal(picture.rgb[0], upright[:3])
    assert torch.equal(picture.alpha[0], upright[3:])


def test_damaged_exif_is_ignored(tmp_path):
    Image.new("RGB", (4, 3), RED).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\xff\xffnonsense")
    assert read_image(tmp_path / "a.jpg").rgb.shape == (1, 3, 3, 4)


class TestProfiles:
    def test_rgb_profile_with_swapped_primaries(self, tmp_path):
        swapped = gamma_profile(b"RGB ", 2.2, primaries=(SRGB[1], SRGB[0], SRGB[2]))
        for name in ("a.png", "a.tif", "a.webp"):
            Image.new("RGB", (2, 2), RED).save(tmp_path / name, icc_profile=swapped, lossless=True)
            found = read_image(tmp_path / name).rgb[0, :, 0, 0]
            torch.testing.assert_close(found, torch.tensor([0.0, 1, 0]), atol=0.02, rtol=0)

    def test_linear_profile_is_converted_to_srgb(self):
        linear = gamma_profile(b"RGB ", 1.0)
        image = Image.new("RGB", (2, 2), (51, 51, 51))
        image.info["icc_profile"] = linear
        torch.testing.assert_close(read_image(image).rgb, torch.full((1, 3, 2, 2), srgb_of(0.2)), atol=0.01, rtol=0)

    @pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
    @pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
    def test_gray_is_converted_through_gray_and_rgb_profiles(self, mode, space):
        value = {"L": 51, "LA": (51, 128), "I;16": 13107}[mode]
        image = Image.new(mode, (2, 2), value)
        image.info["icc_profile"] = gamma_profile(space, 1.0)
        picture = read_image(image)
        torch.testing.assert_close(picture.rgb, torch.full((1, 3, 2, 2), srgb_of(0.2)), atol=0.01, rtol=0)
        assert (picture.alpha is not None) == (mode == "LA")

    def test_palette_is_converted_through_the_profile(self):
        image = Image.new("RGB", (2, 2), (51, 51, 51)).quantize(2)
        image.info["icc_profile"] = gamma_profile(b"RGB ", 1.0)
        torch.testing.assert_close(read_image(image).rgb, torch.full((1, 3, 2, 2), srgb_of(0.2)), atol=0.01, rtol=0)

    def test_srgb_profile_keeps_16_bits_exactly(self, tmp_path):
        ramp = torch.linspace(0, 1, 3 * 4000).view(1, 3, 40, 100)
        back = read_image(write_image(ramp, tmp_path / "a.png", bits=16)).rgb
        torch.testing.assert_close(back, ramp, atol=0.5001 / 65535, rtol=0)

    @pytest.mark.parametrize("primaries", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_wide_profile_keeps_16_bits(self, tmp_path, primaries, name):
        """1,024 neighboring levels stay at least 1,000, and are littleCMS's colors to 8 bits."""
        ramp = (20000 + np.arange(1024)).astype(np.uint16)
        numbers = np.stack([ramp, np.full_like(ramp, 15000), np.full_like(ramp, 12000)], axis=-1)[None].repeat(3, 0)
        profile = gamma_profile(b"RGB ", 2.2, primaries=primaries)
        write_16_bit_file(tmp_path / name, numbers, profile)
        rgb = read_image(tmp_path / name).rgb
        assert len(rgb[0, 0].unique()) >= 1000
        rough = Image.fromarray((numbers[:1] / 257).round().astype(np.uint8))
        rough.info["icc_profile"] = profile
        torch.testing.assert_close(rgb[:, :, :1], read_image(rough).rgb, atol=1.6 / 255, rtol=0)

    @pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
    def test_16_bit_gray_is_converted_through_the_profile(self, tmp_path, space):
        tifffile.imwrite(tmp_path / "a.tif", np.full((3, 3), 13107, np.uint16), iccprofile=gamma_profile(space, 1.0))
        back = read_image(tmp_path / "a.tif").rgb
        torch.testing.assert_close(back, torch.full((1, 3, 3, 3), srgb_of(0.2)), atol=0.001, rtol=0)

    @pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
    @pytest.mark.parametrize(
        "profile",
        [
            b"nonsense",
            gamma_profile(b"RGB ", 1.0)[:200],
            b"\0" * 400,
            profile_bytes(ImageCms.createProfile("LAB")),
            profile_bytes(ImageCms.createProfile("XYZ")),
        ],
        ids=["nonsense", "cut short", "zeros", "LAB", "XYZ"],
    )
    def test_broken_profile_is_ignored(self, mode, profile):
        plain = Image.new(mode, (2, 2), {"L": 51, "RGB": (51, 60, 70), "CMYK": (1, 60, 70, 80)}[mode])
        tagged = plain.copy()
        tagged.info["icc_profile"] = profile
        assert torch.equal(read_image(tagged).rgb, read_image(plain).rgb)

    def test_profile_of_other_channels_is_ignored(self):
        plain = Image.new("RGB", (2, 2), (51, 60, 70))
        tagged = plain.copy()
        tagged.info["icc_profile"] = gamma_profile(b"GRAY", 1.0)
        assert torch.equal(read_image(tagged).rgb, read_image(plain).rgb)


class TestUnreadable:
    def refused(self, path, words, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(PictureError, match=words) as caught:
                read_image(path, **options)
        assert str(path) in str(caught.value)

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "gone.jpg", r"gone\.jpg does not exist: check the name")

    def test_folder(self, tmp_path):
        self.refused(tmp_path, "is a folder: name a picture inside it")

    def test_path_through_a_file(self, tmp_path):
        (tmp_path / "file").write_text("x")
        self.refused(tmp_path / "file" / "a.png", r"can't be opened: Not a directory")

    def test_empty(self, tmp_path):
        (tmp_path / "empty.png").touch()
        self.refused(tmp_path / "empty.png", r"is empty \(0 bytes\): get the picture again")

    def test_not_a_picture(self, tmp_path):
        for name, data in (
            ("text.jpg", b"Dear diary"),
            ("list.png", b"1, 2, 3"),
            ("picture.tga", bytes(2) + b"\2" + bytes(9) + b"\4\0\4\0\x18\0" + bytes(48)),
        ):
            (tmp_path / name).write_bytes(data)
            self.refused(
                tmp_path / name,
                "is not a picture that can be read, or damaged at its start: give one of JPEG, PNG, WEBP",
            )

    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif"])
    def test_truncated(self, tmp_path, name):
        to_pil(noise(64, 64)).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        self.refused(
            tmp_path / name, "(is damaged or cut short .*|damaged at its start): (get the picture again|give one)"
        )

    def test_files_cut_anywhere_are_read_or_refused(self, tmp_path):
        for form, bits in ((".png", 8), (".png", 16), (".tif", 16), (".jpg", 8)):
            whole = write_image(noise(9, 9), tmp_path / f"whole{bits}{form}", bits=bits).read_bytes()
            for length in range(1, len(whole), 37):
                (tmp_path / "cut").write_bytes(whole[:length])
                with suppress(PictureError):
                    read_image(tmp_path / "cut")

    @pytest.mark.parametrize("name", ["whole.png", "whole.tif"])
    def test_flipped_bytes_of_16_bit_files_are_read_or_refused(self, tmp_path, name, capfd):
        whole = np.frombuffer(write_image(noise(40, 40), tmp_path / name, bits=16).read_bytes(), np.uint8)
        chance = np.random.default_rng(0)
        for _ in range(100):
            damaged = whole.copy()
            damaged[chance.integers(0, len(whole), 5)] = chance.integers(0, 256, 5)
            (tmp_path / name).write_bytes(damaged.tobytes())
            with suppress(PictureError):
                read_image(tmp_path / name)
        assert capfd.readouterr().err == ""

    def test_too_many_pixels(self, tmp_path):
        path = write_image(noise(20, 10), tmp_path / "large.png")
        assert read_image(path, max_pixels=200).rgb.shape == (1, 3, 10, 20)
        for limit in (199, 50):  # Pillow's own guard warns at the one and fails at the other
            self.refused(path, f"large.png has more than {limit} pixels .*: make it smaller first", max_pixels=limit)
        with pytest.raises(PictureError, match="the picture given has more than 5 pixels"):
            read_image(Image.new("L", (3, 2)), max_pixels=5)

    def test_decompression_bomb(self, tmp_path):
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + header
        bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
        data = b"IDAT" + zlib.compress(b"\0")
        (tmp_path / "bomb.png").write_bytes(
            bomb + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
        )
        self.refused(tmp_path / "bomb.png", r"more than 180,000,000 pixels")

    def test_pillow_limit_is_restored(self, tmp_path):
        usual = Image.MAX_IMAGE_PIXELS
        read_image(write_image(noise(), tmp_path / "a.png"), max_pixels=1000)
        self.refused(tmp_path / "a.png", "more than 3 pixels", max_pixels=3)
        assert usual == Image.MAX_IMAGE_PIXELS

    def test_no_permission(self, tmp_path, monkeypatch):
        def refuse(*_args, **_options):
            raise PermissionError(13, "Permission denied")

        path = write_image(noise(), tmp_path / "private.png")
        monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no file refuses
        self.refused(path, "private.png can't be opened, permission denied: make it readable for you")

    def test_closed_image(self, tmp_path):
        image = Image.open(write_image(noise(), tmp_path / "a.png"))
        image.close()
        with pytest.raises(PictureError, match="the picture given is damaged or cut short"):
            read_image(image)


class TestTarget:
    def refused(self, kind, words, path, **options):
        with pytest.raises(kind, match=words) as caught:
            check_output(path, **options)
        assert str(path) in str(caught.value)

    def test_valid_outputs_pass_and_leave_no_file(self, tmp_path):
        for name in ("a.png", "a.JPG", "a.jpeg", "a.webp", "a.tif", "a.tiff"):
            check_output(tmp_path / name)
        check_output(tmp_path / "a.tif", alpha=True, bits=16, size=32768, inputs=[tmp_path / "photo.jpg"])
        assert list(tmp_path.iterdir()) == []

    def test_suffix(self, tmp_path):
        self.refused(UsageError, r"has the suffix \.xyz, which is no format .* \.png, \.jpg", tmp_path / "a.xyz")
        self.refused(UsageError, r"has no suffix .*: end the name in \.png", tmp_path / "a")

    def test_what_a_format_cannot_hold_is_refused(self, tmp_path):
        self.refused(UsageError, r"can't hold transparency.* \.png or \.tif, or \.webp", tmp_path / "a.jpg", alpha=True)
        for name in ("a.jpg", "a.webp"):
            self.refused(UsageError, r"can't hold 16 bits.*: end the name in \.png or \.tif", tmp_path / name, bits=16)
        self.refused(UsageError, "can't have 12 bits: choose 8 or 16", tmp_path / "a.png", bits=12)
        self.refused(UsageError, "can't be 20000 pixels long, WEBP ends at 16383", tmp_path / "a.webp", size=20000)

    def test_folder_missing_or_a_file(self, tmp_path):
        (tmp_path / "file").touch()
        for folder in ("nowhere", "file"):
            self.refused(PictureError, r"the folder .* does not exist: make it first", tmp_path / folder / "a.png")

    def test_target_is_a_folder(self, tmp_path):
        (tmp_path / "a.png").mkdir()
        self.refused(PictureError, "is a folder: name a file inside it", tmp_path / "a.png", overwrite=True)

    def test_folder_not_writable(self, tmp_path, monkeypatch):
        def refuse(*_args, **_options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "touch", refuse)
        self.refused(PictureError, "Permission denied: choose a folder that you may write to", tmp_path / "a.png")

    def test_existing(self, tmp_path):
        (tmp_path / "a.png").write_text("old")
        self.refused(PictureError, "already exists: choose another name, move it away, or allow it", tmp_path / "a.png")
        check_output(tmp_path / "a.png", overwrite=True)
        assert (tmp_path / "a.png").read_text() == "old"

    def test_an_input_is_refused_under_any_name(self, tmp_path):
        photo = tmp_path / "photo.png"
        photo.touch()
        (tmp_path / "soft.png").symlink_to(photo)
        os.link(photo, tmp_path / "hard.png")
        for name in ("photo.png", "soft.png", "hard.png", f"../{tmp_path.name}/photo.png"):
            for inputs in ([photo], ["missing.jpg", str(photo)]):
                self.refused(
                    UsageError,
                    "is also the input .*, which would be lost",
                    tmp_path / name,
                    inputs=inputs,
                    overwrite=True,
                )


class TestWriting:
    def test_existing_file_is_kept_unless_overwritten(self, tmp_path):
        path = write_image(torch.zeros(1, 3, 2, 2), tmp_path / "a.png")
        with pytest.raises(PictureError, match="already exists"):
            write_image(torch.ones(1, 3, 2, 2), path)
        assert read_image(path).rgb.max() == 0
        write_image(torch.ones(1, 3, 2, 2), path, overwrite=True)
        assert read_image(path).rgb.min() == 1

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_failing_write_leaves_the_old_file_alone(self, tmp_path, monkeypatch, error, name):
        path = write_image(torch.zeros(1, 3, 2, 2), tmp_path / name)
        old = path.read_bytes()

        def fail_midway(_image, file, *_args, **_options):
            file.write(b"half a pict")
            raise error

        monkeypatch.setattr("impasto.images.write._save", fail_midway)
        expected = PictureError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected) as caught:
            write_image(torch.ones(1, 3, 2, 2), path, overwrite=True)
        assert path.read_bytes() == old
        assert list(tmp_path.iterdir()) == [path]
        if expected is PictureError:
            assert f"{path} can't be written, No space left on device: make room" in str(caught.value)

    def test_file_that_appears_during_writing_is_kept(self, tmp_path, monkeypatch):
        def lose_the_race(_image, file, *_args, **_options):
            file.write(b"mine")
            (tmp_path / "a.png").write_text("theirs")

        monkeypatch.setattr("impasto.images.write._save", lose_the_race)
        with pytest.raises(PictureError, match="already exists"):
            write_image(noise(), tmp_path / "a.png")
        assert (tmp_path / "a.png").read_text() == "theirs"
        assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]

    def test_symbolic_link_still_points_to_the_picture(self, tmp_path):
        (tmp_path / "far").mkdir()
        real = write_image(torch.zeros(1, 3, 2, 2), tmp_path / "far" / "real.png")
        (tmp_path / "link.png").symlink_to(real)
        write_image(torch.ones(1, 3, 2, 2), tmp_path / "link.png", overwrite=True)
        assert (tmp_path / "link.png").is_symlink()
        assert read_image(real).rgb.min() == 1

    def test_permissions_are_those_of_new_files(self, tmp_path):
        (tmp_path / "plain").touch()
        path = write_image(noise(), tmp_path / "a.png")
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_writing_nan_is_refused(self, tmp_path, value):
        rgb, alpha = noise(), torch.full((1, 1, 5, 7), value)
        with pytest.raises(PictureError, match=r"a\.png is not written, its pixels are NaN or infinite"):
            write_image(rgb, tmp_path / "a.png", alpha=alpha)
        rgb[0, 1, 2, 3] = value
        with pytest.raises(PictureError, match=r"a\.png is not written, its pixels are NaN or infinite"):
            write_image(rgb, tmp_path / "a.png")
        assert list(tmp_path.iterdir()) == []

    def test_wrong_arguments_are_refused(self, tmp_path):
        with pytest.raises(UsageError, match=r"a\.jpg can't hold transparency"):
            write_image(noise(), tmp_path / "a.jpg", alpha=noise(channels=1))
        with pytest.raises(UsageError, match=r"a\.jpg can't be written with quality 101: give 1 to 100"):
            write_image(noise(), tmp_path / "a.jpg", quality=101)
        for rgb, alpha in ((noise(channels=1), None), (noise(), noise(6, 5, channels=1)), (noise()[:, :, :0], None)):
            with pytest.raises(UsageError, match=r"a picture is \(1, 3, H, W\)"):
                write_image(rgb, tmp_path / "a.png", alpha=alpha)

    def test_large_tiff_is_written_as_bigtiff(self, tmp_path, monkeypatch):
        monkeypatch.setattr("impasto.images.libvips.MAX_CLASSIC_TIFF_BYTES", 1000)
        path, rgb = tmp_path / "a.tif", noise(40, 40)
        write_image(rgb, path, bits=16, embedded_text="inside")
        assert path.read_bytes().startswith(b"II+\0")
        torch.testing.assert_close(read_image(path).rgb, rgb, atol=0.5001 / 65535, rtol=0)
        assert read_embedded_text(path) == "inside"

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no limits to a file's size")
    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_full_disk_is_reported_for_16_bits(self, tmp_path, name):
        with limit_file_size(20_000), pytest.raises(PictureError, match=rf"{name} can't be written"):
            write_image(torch.rand(1, 3, 99, 99), tmp_path / name, bits=16)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path(os.devnull)):
        for look in (read_image, read_embedded_text):
            with pytest.raises(
                PictureError, match=f"{path} is a pipe or a device, not a file: save what comes from it"
            ):
                look(path)
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(PictureError, match="is a pipe or a device"):
        read_recipe(tmp_path / "pipe.toml")
