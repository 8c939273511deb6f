"""The HTTP routes: changes, actions and pictures for the page, functions for programs."""

import asyncio
import json
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from impasto.errors import ImpastoError, UsageError
from impasto.studio.form import form_fields, page_message
from impasto.studio.service import StudioService, given_in_recipe
from impasto.studio.store import FINISHED, UNKNOWN_JOB

MAX_WAIT_SECONDS = 10.0  # that a request for changes stays open
POLL_SECONDS = 0.015
MAX_ACTION_LENGTH = 40  # in messages
CONCURRENT_CALLS = 8  # of one function for programs
FINAL_NAMES = ("picture.png", "film.mp4")
Data = dict[str, Any]


def add_routes(application: FastAPI, service: StudioService) -> None:
    """Add the studio's addresses to an application; the security middleware has checked every request."""
    queue = service.queue

    @application.get("/studio/updates")
    async def updates(since: int = 0, wait: float = 0.0) -> JSONResponse:
        """Return what has changed since a revision, or wait until something has."""
        until = time.monotonic() + min(max(wait, 0.0), MAX_WAIT_SECONDS)
        while queue.revision == since and time.monotonic() < until and not queue.is_closing:
            await asyncio.sleep(POLL_SECONDS)
        return JSONResponse(queue.list_changes(since), headers={"cache-control": "no-store"})

    @application.post("/studio/actions")
    async def actions(request: Request) -> JSONResponse:
        """Pause, resume, stop, keep, remove a job, or change its settings."""
        try:
            command = json.loads(await request.body() or b"null")
            if not isinstance(command, dict):
                raise UsageError("This is no action.")
            await asyncio.to_thread(execute_action, service, command)
        except ImpastoError as error:
            return JSONResponse({"error": page_message(error)}, 400)
        return JSONResponse({"revision": queue.revision})

    @application.get("/studio/pictures/{job_id}/{name}")
    def picture(job_id: str, name: str, download: int = 0) -> Response:
        """Return a picture out of a job's folder."""
        path = service.store.find_file(job_id, name)
        if path is None:
            return JSONResponse({"detail": "There is no such picture."}, 404)
        headers = {"cache-control": "no-cache"}  # pictures are replaced, and the page asks for previews by version
        if name.endswith(".jpg"):  # read at once, as it may be replaced meanwhile
            return Response(path.read_bytes(), media_type="image/jpeg", headers=headers)
        return FileResponse(path, headers=headers, filename=_download_name(service, job_id, name) if download else None)

    for folder in ("examples", "static"):
        application.mount(f"/studio/{folder}", StaticFiles(packages=[("impasto.studio", folder)]))


def execute_action(service: StudioService, command: Data) -> None:
    """Execute what the page asks for. Raises UsageError for what is not understood."""
    queue, job_id, snapshot = service.queue, command.get("id"), command.get("snapshot")
    if not isinstance(job_id, str) or not isinstance(snapshot, int | None):
        raise UsageError(UNKNOWN_JOB)
    actions: dict[str, Callable[[], None]] = {
        "pause": lambda: queue.pause_job(job_id),
        "resume": lambda: queue.resume_job(job_id, snapshot),
        "keep": lambda: queue.keep_copy(job_id),
        "stop": lambda: queue.stop_job(job_id),
        "stop_now": lambda: queue.stop_job(job_id, now=True),
        "remove": lambda: queue.remove_job(job_id),
        "change": lambda: service.change_settings(job_id, _check_changes(command.get("changes"))),
    }
    action = command.get("action")
    if not isinstance(action, str) or action not in actions:
        raise UsageError(f"There is no such action: {str(action)[:MAX_ACTION_LENGTH]}")
    actions[action]()


def add_functions(service: StudioService) -> None:
    """Add the functions for programs to the page that is being built; Gradio's client calls them."""

    def paint(request: gr.Request, photo: Data, paintings: list[Any], settings: Data) -> str:
        """Put a picture into the queue; returns its ID."""
        return service.submit_painting(photo, paintings, settings, visitor=visitor_address(request)).id

    def sheet(request: gr.Request, photo: Data, paintings: list[Any], settings: Data, vary: str) -> str:
        """Put a sheet of small pictures into the queue; returns its ID."""
        return service.submit_painting(photo, paintings, settings, visitor=visitor_address(request), vary=vary).id

    def film(request: gr.Request, film: Data, paintings: list[Any], settings: Data) -> str:
        """Put a film into the queue; returns its ID."""
        return service.submit_film(film, paintings, settings, visitor=visitor_address(request)).id

    def plan(photo: Data, paintings: list[Any], settings: Data) -> str:
        """Describe the size, time and memory that a picture will take."""
        return service.plan_painting(photo, paintings, settings)

    def status(job_id: str) -> Data:
        """Return a picture's status, message, plan, progress, settings, snapshots, and files."""
        return service.queue.get_job(job_id).to_json()

    def change(job_id: str, changes: Data) -> Data:
        """Change settings of a picture while it is painted."""
        service.change_settings(job_id, changes)
        return status(job_id)

    def resume(job_id: str, snapshot: int | None = None) -> Data:
        """Continue a picture, from an earlier snapshot if one is named."""
        service.queue.resume_job(job_id, snapshot)
        return status(job_id)

    def remove(job_id: str) -> str:
        """Delete a picture with all its files."""
        service.queue.remove_job(job_id)
        return job_id

    def make_action(name: str) -> Callable[[str], Data]:
        def act(job_id: str) -> Data:
            execute_action(service, {"action": name, "id": job_id})
            return status(job_id)

        act.__name__ = name
        return act

    def read_settings(picture: Data) -> Data:
        """Return the settings that a painted picture carries."""
        given = given_in_recipe(service.read_recipe(picture))
        return {name: value for name, value in given.items() if name in form_fields()}

    functions: list[Callable[..., Any]] = [paint, sheet, film, plan, status, change, resume, remove, read_settings]
    for function in (*functions, *map(make_action, ("pause", "keep", "stop"))):
        gr.api(  # type: ignore[attr-defined]
            _with_gradio_errors(function), api_name=function.__name__, concurrency_limit=CONCURRENT_CALLS
        )


def visitor_address(request: gr.Request) -> str:
    """Return a visitor's address, which tells visitors apart."""
    return request.client.host if request and request.client else ""


def _with_gradio_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*values: Any) -> Any:
        try:
            return function(*values)
        except ImpastoError as error:
            raise gr.Error(page_message(error), print_exception=False) from None

    return call


def _check_changes(changes: Any) -> Data:
    if not isinstance(changes, dict) or not all(isinstance(name, str) for name in changes):
        raise UsageError("There is nothing to change.")
    return changes


def _download_name(service: StudioService, job_id: str, name: str) -> str:
    try:
        job = service.queue.get_job(job_id)
    except UsageError:
        return name
    stem, suffix = name.rsplit(".", 1)
    mark = "" if name in FINAL_NAMES and job.status in FINISHED else f"_{stem}"
    return f"{job.photo.rsplit('.', 1)[0]}_{job.paintings[0].rsplit('.', 1)[0]}{mark}.{suffix}"
