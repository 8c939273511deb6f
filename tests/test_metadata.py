"""A text inside a picture's file: as it was written in every format, and refused where a stranger's file is odd."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from impasto.errors import PictureError, UsageError
from impasto.images.metadata import (
    MAX_JPEG_TEXT_BYTES,
    MAX_PACKET_BYTES,
    MAX_TEXT_BYTES,
    check_text_length,
    pack_xmp,
    read_embedded_text,
    unpack_xmp,
)
from impasto.images.read import read_image
from impasto.images.write import write_image

FORMS = [("a.png", 8), ("a.png", 16), ("a.tif", 8), ("a.tiff", 16), ("a.jpg", 8), ("a.webp", 8)]
TEXT = '{"name": "Müller & <Söhne> \\"画\\".png"}\n\tend'
PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # an iTXt chunk that is not compressed, of no language
BOMB = zlib.compress(bytes(1 << 24))
RGB = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    ended = [(b"IHDR", struct.pack(">IIBBBBB", 5, 7, 8, 2, 0, 0, 0)), *chunks, (b"IDAT", b""), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in ended
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def refusal(path: Path) -> str:
    with pytest.raises(PictureError) as refused:
        read_embedded_text(path)
    return str(refused.value)


# As it was written


@pytest.mark.parametrize(("name", "bits"), FORMS)
def test_text_round_trips_in_every_format(tmp_path, name, bits):
    plain = read_image(write_image(RGB, tmp_path / f"plain_{name}", bits=bits, quality=100))
    path = write_image(RGB, tmp_path / name, bits=bits, quality=100, embedded_text=TEXT)
    assert read_embedded_text(path) == TEXT
    assert torch.equal(read_image(path).rgb, plain.rgb)
    assert read_embedded_text(tmp_path / f"plain_{name}") is None
    assert b"impasto" not in (tmp_path / f"plain_{name}").read_bytes()


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["C"])), st.sampled_from(FORMS))
def test_any_text_round_trips(tmp_path_factory, text, form):
    name, bits = form
    path = write_image(RGB, tmp_path_factory.mktemp("any") / name, bits=bits, embedded_text=text)
    assert (read_embedded_text(path) or "") == text


def test_other_programs_find_the_text(tmp_path):
    for number, (name, bits) in enumerate(FORMS):
        with Image.open(write_image(RGB, tmp_path / f"{number}{name}", bits=bits, embedded_text=TEXT)) as image:
            packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
            assert unpack_xmp(packet) == TEXT
    with tifffile.TiffFile(write_image(RGB, tmp_path / "b.tif", bits=16, embedded_text=TEXT)) as file:
        assert unpack_xmp(bytes(file.pages[0].tags["XMP"].value)) == TEXT


def test_packet_rewritten_by_another_program_is_read(tmp_path):
    beside = (
        b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-'
    )
    beside += (
        b'syntax-ns#"><r:Description xmlns:mine="urn:impasto:"><other>1</other><mine:recipe>{"a": "&lt;"}</mine:recipe>'
    )
    beside += b"</r:Description></r:RDF></x:xmpmeta>" + b" " * 2000 + b'<?xpacket end="w"?>'
    with io.BytesIO() as file:
        Image.new("RGB", (4, 4)).save(file, "JPEG", xmp=beside, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0", comment=b"by hand")
        (tmp_path / "a.jpg").write_bytes(file.getvalue())
    assert read_embedded_text(tmp_path / "a.jpg") == '{"a": "<"}'


# What a format can't hold


def test_too_long_text_is_refused_before_writing(tmp_path):
    with pytest.raises(UsageError, match=r"a\.jpg can't hold a recipe of 64,001 bytes.*end the name in \.png"):
        write_image(RGB, tmp_path / "a.jpg", embedded_text="x" * (MAX_JPEG_TEXT_BYTES + 1))
    with pytest.raises(UsageError, match=r"a\.png can't hold a recipe of .* bytes, more than 1,048,576: leave it out"):
        check_text_length("a.png", MAX_TEXT_BYTES + 1)
    assert not list(tmp_path.iterdir())
    assert read_embedded_text(write_image(RGB, tmp_path / "a.jpg", embedded_text="&" * 12_000)) == "&" * 12_000
    assert (
        read_embedded_text(write_image(RGB, tmp_path / "b.jpg", embedded_text="x" * MAX_JPEG_TEXT_BYTES))
        == "x" * MAX_JPEG_TEXT_BYTES
    )


# Strangers' files


@pytest.mark.parametrize(("name", "bits"), FORMS)
def test_files_cut_anywhere_are_refused_or_textless(tmp_path, name, bits):
    whole = write_image(RGB, tmp_path / name, bits=bits, embedded_text=TEXT).read_bytes()
    cut = tmp_path / f"cut_{name}"
    for length in range(1, len(whole), 7):
        cut.write_bytes(whole[:length])
        with suppress(PictureError):
            assert read_embedded_text(cut) in (TEXT, None)


@settings(max_examples=200)
@given(
    st.binary(max_size=60),
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF1234WEBP", b"II*\0", b"MM\0*", b""]),
)
def test_noise_is_refused_or_textless(tmp_path_factory, noise, start):
    path = tmp_path_factory.mktemp("noise") / "a.png"
    path.write_bytes(start + noise)
    with suppress(PictureError):
        assert read_embedded_text(path) is None


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", b"", "no PNG, JPEG, WebP or TIFF"),
        ("a.gif", b"GIF89a...........", "no PNG, JPEG, WebP or TIFF"),
        ("a.png", png_of((b"iTXt", PNG_XMP + b"urn:impasto: \xff")), "can't decode byte"),
        ("a.png", png_of((b"iTXt", PNG_XMP + b"urn:impasto:" + b"x" * MAX_PACKET_BYTES)), "which no recipe of impasto"),
        ("a.png", png_of((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB)), "too large"),
        ("a.jpg", b"\xff\xd8" + b"xx\0\4ab", "can't be read"),
        ("a.jpg", b"\xff\xd8\xff\xe1\0\0", "can't be read"),
        ("a.webp", b"RIFF\0\0\0\0WEBPXMP \xff\xff\xff\xff", "can't be read"),
        ("a.tif", b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIII", 700, 1, 2**31, 0, 0), "can't be read"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    assert said in refusal(tmp_path / name)


@pytest.mark.parametrize(
    "inside",
    [
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><x xmlns:i="urn:impasto:" i:recipe="&b;"/>',
        '<x xmlns:i="urn:impasto:" i:recipe="cut',
        '<x xmlns:i="urn:impasto:" i:recipe="&b;"/>',
    ],
)
def test_packets_with_entities_are_refused(tmp_path, inside):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", xmp=inside.encode())
    assert "XMP packet" in refusal(tmp_path / "a.jpg")


@pytest.mark.slow
def test_deeply_nested_packet_is_read():
    packet = b'<x xmlns:i="urn:impasto:">' + b"<y>" * 100_000 + b"</y>" * 100_000 + b"</x>"
    assert unpack_xmp(packet) is None


def test_packets_of_other_programs_are_ignored():
    assert unpack_xmp(b"<!DOCTYPE whatever> not even XML \xff") is None


def test_text_is_read_without_pixels(tmp_path):
    """A text is read from a file whose pixels are missing."""
    head = png_of((b"iTXt", PNG_XMP + pack_xmp("text"))).partition(b"IDAT")[0]
    (tmp_path / "a.png").write_bytes(head[:-4] + struct.pack(">I4s", 2**31, b"IDAT"))
    assert read_embedded_text(tmp_path / "a.png") == "text"


def test_text_is_read_from_pictures_of_any_size(tmp_path):
    huge = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = png_of((b"iTXt", PNG_XMP + pack_xmp("text")))
    small = data[16:29]
    data = data.replace(small + data[29:33], huge + struct.pack(">I", zlib.crc32(b"IHDR" + huge)))
    (tmp_path / "a.png").write_bytes(data)
    assert read_embedded_text(tmp_path / "a.png") == "text"


def test_missing_files_are_named(tmp_path):
    assert "gone.png does not exist" in refusal(tmp_path / "gone.png")
    assert "is a folder" in refusal(tmp_path)
