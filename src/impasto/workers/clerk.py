"""The clerk: puts what workers send in its place, where they can't write there themselves."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from impasto.errors import PictureError
from impasto.images.output import atomic_write
from impasto.workers.messages import CheckpointSaved, Event, FilmShot, Task, TaskFailed, TaskFinished


class ResultWriter:
    """Takes every event, writes the pictures and checkpoints that came with it, and passes it on."""

    def __init__(self, tasks: Sequence[Task], pass_on: Callable[[Event], None]) -> None:
        self._tasks = {task.number: task for task in tasks}
        self._on_event = pass_on

    def on_event(self, event: Event) -> None:
        """Write what came with the event; where that fails, pass on that the picture has failed."""
        task = self._tasks[event.number]
        try:
            if isinstance(event, CheckpointSaved) and event.data:
                with atomic_write(task.checkpoint, overwrite=True) as file:
                    file.write(event.data)
            if isinstance(event, TaskFinished):
                if event.data and not isinstance(task.job, FilmShot):
                    with atomic_write(task.job.output, overwrite=task.job.overwrite) as file:
                        file.write(event.data)
                    event = replace(event, data=b"")
                task.checkpoint.unlink(missing_ok=True)
        except PictureError as error:
            event = TaskFailed(event.number, event.worker, reason=str(error))
        self._on_event(event)
