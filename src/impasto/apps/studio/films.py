"""A film on the bench: painted frame by frame, kept in a folder beside it, from which it goes on after any end."""

from typing import TYPE_CHECKING

from impasto.apps.film_progress import FilmSilence, frames_done
from impasto.apps.studio.words import in_page_words
from impasto.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.apps.studio.worker import Bench
    from impasto.video.run import FilmRun

NAME = "film.mp4"
MOST_FRAMES = 1500  # a minute; all of them are kept in the studio's folder while it is painted


def paint_film(bench: "Bench") -> str:
    """Paint a commission's film as far as nobody pauses or stops it; returns the stage that it has then."""
    run = _begin(bench, bench.folder / NAME)
    try:
        _paint(bench, run)
    except BaseException:
        run.close()
        raise
    if bench.asked == "pause":
        run.close()
        return "paused"
    if run.finished or run.write_unfinished():
        bench.send("picture", name=NAME)
    return "stopped" if bench.asked else "done"


def _begin(bench: "Bench", output: "Path") -> "FilmRun":
    from impasto.films import resume_film, start_film  # brings PyAV and OpenCV
    from impasto.video.job import FilmJob
    from impasto.video.storage import folder_of

    it, inputs = bench.commission, bench.folder / "inputs"
    if folder_of(output).is_dir():
        return resume_film(output)
    job = FilmJob(
        source=inputs / it.photo,
        paintings=tuple(inputs / painting for painting in it.paintings),
        output=output,
        settings=bench.settings(it.settings),
        overwrite=True,
    )
    run = start_film(job)
    if run.frames > MOST_FRAMES:
        run.close()
        raise UsageError(
            f"The film has {run.frames} frames, and the studio paints {MOST_FRAMES} at most: cut it, or paint it from "
            "the shell with impasto film."
        )
    return run


def _paint(bench: "Bench", run: "FilmRun") -> None:
    keeper, told = FilmSilence(), 0
    for step in run:
        bench.send(
            "step",
            step=frames_done(step) + 1,
            total=step.frames * step.turns,
            scale=step.scale,
            scales=step.scales,
            width=step.width,
            height=step.height,
            seconds=keeper.step(step),
            left=keeper.seconds_left(step),
            losses=step.losses,
        )
        for note in run.notes[told:]:
            bench.send("note", text=in_page_words(note, bench.folder))
        told = len(run.notes)
        bench.previews.since += 1
        if bench.previews.is_due():
            bench.show(run)
        bench.heed(None)
        if bench.asked:
            return
