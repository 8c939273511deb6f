"""The clerk: puts what workers send in its place, where they can't write there themselves."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from impasto.apps.batch.tasks import Event, Failed, Finished, Saved, Shot, Task
from impasto.errors import PictureError
from impasto.pictures.targets import written_whole


class Clerk:
    """Takes every event, writes the pictures and checkpoints that came with it, and passes it on."""

    def __init__(self, tasks: Sequence[Task], pass_on: Callable[[Event], None]) -> None:
        self._tasks = {task.number: task for task in tasks}
        self._pass_on = pass_on

    def take(self, event: Event) -> None:
        """Write what came with the event; where that fails, pass on that the picture has failed."""
        task = self._tasks[event.number]
        try:
            if isinstance(event, Saved) and event.data:
                with written_whole(task.checkpoint, overwrite=True) as file:
                    file.write(event.data)
            if isinstance(event, Finished):
                if event.data and not isinstance(task.job, Shot):
                    with written_whole(task.job.output, overwrite=task.job.overwrite) as file:
                        file.write(event.data)
                    event = replace(event, data=b"")
                task.checkpoint.unlink(missing_ok=True)
        except PictureError as error:
            event = Failed(event.number, event.worker, reason=str(error))
        self._pass_on(event)
