"""The interface for programs: what the page does, through Gradio's client."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from impasto.errors import ImpastoError
from impasto.studio import form_fields
from impasto.studio.service import StudioService
from impasto.studio.store import StudioJob
from impasto.studio.wording import in_page_words


def add_program_interface(desk: StudioService) -> None:
    """Add the functions to the page that is being built."""

    def paint(request: gr.Request, photo: dict, paintings: list, settings: dict) -> str:  # type: ignore[type-arg]
        """Put a picture into the queue; returns its identity."""
        return desk.submit_painting(photo, paintings, settings, visitor=_visitor(request)).identity

    def sheet(request: gr.Request, photo: dict, paintings: list, settings: dict, vary: str) -> str:  # type: ignore[type-arg]
        """Put a sheet of small pictures into the queue; returns its identity."""
        return desk.submit_painting(photo, paintings, settings, visitor=_visitor(request), vary=vary).identity

    def film(request: gr.Request, film: dict, paintings: list, settings: dict) -> str:  # type: ignore[type-arg]
        """Put a film into the queue; returns its identity."""
        return desk.submit_film(film, paintings, settings, visitor=_visitor(request)).identity

    def plan(photo: dict, paintings: list, settings: dict) -> str:  # type: ignore[type-arg]
        """Say what size, time and memory a picture will take, before it is painted."""
        return desk.plan_painting(photo, paintings, settings)

    def look(identity: str) -> dict:  # type: ignore[type-arg]
        """Say how a picture stands: its stage, message, plan, progress, settings, earlier states, and its files."""
        return to_json(desk.queue.get_job(identity))

    def steer(identity: str, changes: dict) -> dict:  # type: ignore[type-arg]
        """Move knobs of a picture while it is painted."""
        desk.change_settings(identity, changes)
        return to_json(desk.queue.get_job(identity))

    def pause(identity: str) -> dict:  # type: ignore[type-arg]
        """Set a picture aside."""
        desk.queue.pause_job(identity)
        return to_json(desk.queue.get_job(identity))

    def go_on(identity: str, state: int | None = None) -> dict:  # type: ignore[type-arg]
        """Go on with a picture, from an earlier state where one is named."""
        desk.queue.resume_job(identity, state)
        return to_json(desk.queue.get_job(identity))

    def keep(identity: str) -> dict:  # type: ignore[type-arg]
        """Keep a picture as it is now, and go on painting."""
        desk.queue.save_copy(identity)
        return to_json(desk.queue.get_job(identity))

    def stop(identity: str) -> dict:  # type: ignore[type-arg]
        """End a picture and keep it."""
        desk.queue.stop_job(identity)
        return to_json(desk.queue.get_job(identity))

    def remove(identity: str) -> str:
        """Remove a picture with all that came of it."""
        desk.queue.remove_job(identity)
        return identity

    def read_settings(picture: dict) -> dict:  # type: ignore[type-arg]
        """Give the settings that a painted picture carries."""
        recipe = desk.read_recipe(picture)
        return recipe.settings.model_dump(mode="json", include=set(recipe.given) & set(form_fields.form_fields()))

    for function in (paint, sheet, film, plan, look, steer, pause, go_on, keep, stop, remove, read_settings):
        gr.api(  # type: ignore[attr-defined]
            _with_gradio_errors(function), api_name=function.__name__, concurrency_limit=8
        )


def to_json(it: StudioJob) -> dict[str, Any]:
    """Give a commission as plain data; files are named by their place on this server."""
    return {
        "identity": it.identity,
        "stage": it.stage,
        "message": it.message,
        "plan": it.plan,
        "notes": it.notes,
        "settings": it.settings,
        "progress": it.progress.model_dump(mode="json", exclude={"points"}),
        "states": [{"number": state.number, "step": state.step} for state in it.states],
        "pictures": [f"studio/pictures/{it.identity}/{name}" for name in it.pictures],
        "preview": f"studio/pictures/{it.identity}/preview.jpg" if it.progress.version else None,
    }


def _visitor(request: gr.Request) -> str:
    return request.client.host if request and request.client else ""


def _with_gradio_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def called(*values: Any) -> Any:
        try:
            return function(*values)
        except ImpastoError as error:
            raise gr.Error(in_page_words(str(error)), print_exception=False) from None

    return called
