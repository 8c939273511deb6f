"""Films read and written: times, orientation, depth, sound; damaged files are refused."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from conftest import make_picture
from film_clips import add_tone, list_packets, make_pan, turn_clip, write_clip

from impasto.errors import PictureError, UsageError
from impasto.films.encoder import FilmEncoder, check_sound_fits, read_film_comment
from impasto.films.reader import FilmReader

FRAMES = make_pan(6)


def write(path: Path, frames: list[torch.Tensor], **options: object) -> Path:
    made = {"clock": Fraction(1, 12800), "rate": Fraction(25), **options}
    with FilmEncoder(path, frames[0].shape[3], frames[0].shape[2], **made) as film:  # type: ignore[arg-type]
        for index, frame in enumerate(frames):
            film.add_frame(frame, Fraction(index, 25), Fraction(1, 25))
    return path


# Reading


def test_a_film_is_read_with_its_times(tmp_path: Path) -> None:
    frames = list(FilmReader(write_clip(tmp_path / "a.mp4", FRAMES)))
    assert [frame.time for frame in frames] == [Fraction(index, 25) for index in range(6)]
    assert {frame.duration for frame in frames} == {Fraction(1, 25)}
    assert frames[2].image.rgb.shape == (1, 3, 48, 64)
    assert float((frames[2].image.rgb - FRAMES[2]).abs().mean()) < 0.03


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    ticks = [0, 512, 2048, 2560, 5120, 5632]
    frames = list(FilmReader(write_clip(tmp_path / "a.mp4", FRAMES, ticks=ticks)))
    assert [frame.time * 12800 for frame in frames] == ticks
    assert [frame.duration * 12800 for frame in frames[:-1]] == [512, 1536, 512, 2560, 512]


def test_a_rotated_film_is_read_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    lying = next(iter(FilmReader(path)))
    upright = next(iter(FilmReader(turn_clip(path))))
    assert upright.image.rgb.shape == (1, 3, 64, 48)
    torch.testing.assert_close(upright.image.rgb, torch.rot90(lying.image.rgb, -1, (2, 3)))


def test_pixels_need_not_be_square(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", FRAMES, aspect=Fraction(3, 2))
    assert next(iter(FilmReader(path))).display_size == (96, 48)
    assert next(iter(FilmReader(turn_clip(path)))).display_size == (48, 96)


def test_ten_bits_are_kept_when_read(tmp_path: Path) -> None:
    ramp = torch.linspace(0.2, 0.3, 256).expand(1, 3, 16, 256).contiguous()
    made = []
    for pixels in ("yuv420p", "yuv420p10le"):
        path = tmp_path / f"{pixels}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 256, 16, pixels
            whole = (ramp[0].permute(1, 2, 0) * 65535).round().numpy().astype("uint16")
            frame = av.VideoFrame.from_ndarray(whole, format="rgb48le").reformat(format=pixels)
            container.mux([*stream.encode(frame), *stream.encode(None)])
        made.append(next(iter(FilmReader(path))).image.rgb[0, 1, 8].unique().numel())
    assert made[1] > 2 * made[0]


@pytest.mark.parametrize("size", [(65, 47), (7, 5)])
def test_odd_sizes_are_read_and_written(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = [make_picture(*size, seed) for seed in range(3)]
    for suffix in (".mkv", ".mp4"):
        path = write(tmp_path / f"a{suffix}", frames, codec="lossless")
        read = [frame.image.rgb for frame in FilmReader(path)]
        assert len(read) == 3
        assert float((torch.cat(read) - torch.cat(frames)).abs().max()) < 0.51 / 255


def test_one_frame_is_a_film(tmp_path: Path) -> None:
    (frame,) = FilmReader(write_clip(tmp_path / "a.mp4", FRAMES[:1]))
    assert (frame.time, frame.duration) == (0, Fraction(1, 25))


def test_a_truncated_film_is_read_to_its_end(tmp_path: Path) -> None:
    frames = [make_picture(64, 48, seed) for seed in range(20)]
    path = write_clip(tmp_path / "a.mp4", frames, container_options={"movflags": "faststart"}, options={"g": "4"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    film = FilmReader(path)
    count = sum(1 for _ in film)
    assert 0 < count < 20
    assert f"only {count} frames can be read" in film.notes[0]


def test_files_that_are_not_films_raise(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", FRAMES).read_bytes()
    for name, content, said in (
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", b"no film at all" * 100, "is not a film"),
        ("headless.mp4", whole[: len(whole) // 2], "cut short"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(PictureError, match=said):
            list(FilmReader(path))
    with pytest.raises(PictureError, match="does not exist"):
        FilmReader(tmp_path / "nothing.mp4")
    with pytest.raises(PictureError, match="not a film"):
        FilmReader(tmp_path)


def test_a_file_with_sound_alone_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        add_tone(container, stream, Fraction(1, 4))
    with pytest.raises(PictureError, match="no moving picture, only audio"):
        FilmReader(path)


# Writing


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_times_are_written_unchanged(tmp_path: Path, suffix: str) -> None:
    ticks = [0, 512, 2048, 2560, 5120, 5632]
    path = tmp_path / f"a{suffix}"
    made = {"clock": Fraction(1, 12800), "rate": Fraction(25), "comment": "a word"}
    with FilmEncoder(path, 64, 48, **made) as film:  # type: ignore[arg-type]
        for frame, tick, after in zip(FRAMES, ticks, [*ticks[1:], 7680], strict=True):
            film.add_frame(frame, Fraction(tick, 12800), Fraction(after - tick, 12800))
    read = list(FilmReader(path))
    for seen, tick in zip(read, ticks, strict=True):
        assert float(seen.time) == pytest.approx(tick / 12800, abs=6e-4 if suffix == ".mkv" else 1e-9)
    if suffix != ".mkv":
        assert (read[-1].time + read[-1].duration) * 12800 == 7680
    assert float((read[3].image.rgb - FRAMES[3]).abs().mean()) < 0.03
    assert read_film_comment(path) == "a word"


def test_colors_survive_h264(tmp_path: Path) -> None:
    colors = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.5, 0.5, 0.5], [1, 1, 1.0]])
    bars = colors.T.view(1, 3, 1, 6).repeat_interleave(16, 3).expand(1, 3, 48, 96).contiguous()
    (frame,) = FilmReader(write(tmp_path / "a.mp4", [bars], quality=100))
    assert float((frame.image.rgb - bars)[..., 8::16].abs().max()) < 0.02


def test_a_live_film_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    film = FilmEncoder(path, 64, 48, clock=Fraction(1, 12800), rate=Fraction(25), live=True)
    for index, frame in enumerate(FRAMES):
        film.add_frame(frame, Fraction(index, 25), Fraction(1, 25))
        if index >= 2:
            assert len(list(FilmReader(path))) >= index
    film.close()


@pytest.mark.parametrize(("sound", "suffix"), [("aac", ".mp4"), ("aac", ".mkv"), ("pcm_s16le", ".mkv")])
def test_sound_is_copied_unchanged(tmp_path: Path, sound: str, suffix: str) -> None:
    source = write_clip(tmp_path / "source.mkv", make_pan(20), sound=sound)
    assert FilmReader(source).sound_path == source
    target = tmp_path / f"a{suffix}"
    check_sound_fits(source, target)
    made = {"clock": Fraction(1, 12800), "rate": Fraction(25)}
    with FilmEncoder(target, 64, 48, **made) as film:  # type: ignore[arg-type]
        film.copy_sound(source, None, None, Fraction(0))
        for index, frame in enumerate(make_pan(20)):
            film.add_frame(frame, Fraction(index, 25), Fraction(1, 25))
    before, after = list_packets(source, "audio"), list_packets(target, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    assert [float(time) for time, _ in after] == pytest.approx([float(time) for time, _ in before], abs=2e-3)
    assert len(list(FilmReader(target))) == 20


def test_sound_is_cut_with_the_film(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "source.mkv", make_pan(20), sound="aac")
    target = tmp_path / "a.mp4"
    with FilmEncoder(target, 64, 48, clock=Fraction(1, 12800), rate=Fraction(25)) as film:
        film.copy_sound(source, Fraction(2, 5), Fraction(3, 5), Fraction(2, 5))
        for index, frame in enumerate(make_pan(5)):
            film.add_frame(frame, Fraction(index, 25), Fraction(1, 25))
    times = [float(time) for time, _ in list_packets(target, "audio")]
    assert times
    assert min(times) >= -1e-3
    assert max(times) < 0.2


def test_sound_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "source.mkv", FRAMES, sound="pcm_u8")
    with pytest.raises(UsageError, match=r"can't hold the audio \(pcm_u8\).*\.mkv") as caught:
        check_sound_fits(source, tmp_path / "a.mp4")
    assert caught.value.setting == "sound"
