"""A film on the bench: painted frame by frame, kept in a folder beside it, from which it goes on after any end."""

import math
from typing import TYPE_CHECKING

from impasto.errors import UsageError
from impasto.studio.wording import in_page_words
from impasto.terminal.progress import ProgressDisplay

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.films.film_run import FilmRun
    from impasto.studio.worker import JobRunner

FILM_NAME = "film.mp4"
MAX_FILM_FRAMES = 1500  # a minute; all of them are kept in the studio's folder while it is painted


def paint_film(bench: "JobRunner") -> str:
    """Paint a commission's film as far as nobody pauses or stops it; returns the stage that it has then."""
    run = _begin(bench, bench.folder / FILM_NAME)
    try:
        _paint(bench, run)
    except BaseException:
        run.close()
        raise
    if bench.stop_request == "pause":
        run.close()
        return "paused"
    if run.is_finished or run.write_unfinished():
        bench.send("picture", name=FILM_NAME)
    return "stopped" if bench.stop_request else "done"


def _begin(bench: "JobRunner", output: "Path") -> "FilmRun":
    from impasto.films.film_job import FilmJob
    from impasto.films.start import resume_film, start_film  # brings PyAV and OpenCV
    from impasto.films.work_folder import name_work_folder

    it, inputs = bench.commission, bench.folder / "inputs"
    if name_work_folder(output).is_dir():
        return resume_film(output)
    job = FilmJob(
        source=inputs / it.photo,
        paintings=tuple(inputs / painting for painting in it.paintings),
        output=output,
        settings=bench.settings(it.settings),
        overwrite=True,
    )
    run = start_film(job)
    if run.frame_count > MAX_FILM_FRAMES:
        run.close()
        raise UsageError(
            f"The film has {run.frame_count} frames, and the studio paints {MAX_FILM_FRAMES} at most: cut "
            "it, or paint it from "
            "the shell with impasto film."
        )
    return run


def _paint(bench: "JobRunner", run: "FilmRun") -> None:
    display, told = ProgressDisplay(quiet=True), 0
    for step in run:
        display.update(step.progress, "")
        bench.send(
            "step",
            step=math.ceil(step.progress * step.frames * step.passes - 1e-6),  # of frames, over all passes
            total=step.frames * step.passes,
            scale=step.scale,
            scales=step.scales,
            width=step.width,
            height=step.height,
            seconds=display.seconds_elapsed,
            left=display.seconds_left,
            losses=step.losses,
        )
        for note in run.notes[told:]:
            bench.send("note", text=in_page_words(note, bench.folder))
        told = len(run.notes)
        bench.previews.steps_since_change += 1
        if bench.previews.is_due():
            bench.send_preview(run)
        bench.handle_commands(None)
        if bench.stop_request:
            return
