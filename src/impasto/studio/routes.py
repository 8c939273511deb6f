"""The studio's own routes beside Gradio's: what has changed, what shall be done, and the pictures."""

import asyncio
import json
import time
from collections.abc import Callable
from importlib.resources import files as resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from impasto.errors import ImpastoError, UsageError
from impasto.studio.service import EXAMPLE_PAINTINGS, EXAMPLE_PHOTOS, StudioService
from impasto.studio.store import FINISHED
from impasto.studio.wording import in_page_words

MAX_WAIT_SECONDS = 10.0  # seconds that a question for changes is kept open
POLL_SECONDS = 0.015  # seconds between two looks whether something has changed
PAGE_FILES = {"studio.js": "text/javascript", "studio.css": "text/css"}


def add_routes(application: FastAPI, desk: StudioService) -> None:
    """Add them to an application; what stands before it has checked who asks."""
    workshop = desk.queue

    @application.get("/studio/state")
    async def state(since: int = 0, wait: float = 0.0) -> JSONResponse:
        """Return what has changed since a revision, or wait until something has."""
        until = time.monotonic() + min(max(wait, 0.0), MAX_WAIT_SECONDS)
        while workshop.revision == since and time.monotonic() < until and not workshop.is_closing:
            await asyncio.sleep(POLL_SECONDS)
        return JSONResponse(workshop.list_changes(since), headers={"cache-control": "no-store"})

    @application.post("/studio/act")
    async def act(request: Request) -> JSONResponse:
        """Pause, go on, stop, keep, remove, steer."""
        try:
            wish = json.loads(await request.body() or b"null")
            if not isinstance(wish, dict):
                raise UsageError("This is no wish of the page.")
            await asyncio.to_thread(execute_action, desk, wish)
        except ImpastoError as error:
            return JSONResponse({"error": in_page_words(str(error))}, 400)
        return JSONResponse({"revision": workshop.revision})

    @application.get("/studio/pictures/{identity}/{name}")
    def picture(identity: str, name: str, download: int = 0) -> Response:
        """Return a picture of a commission's own folder."""
        path = desk.store.find_file(identity, name)
        if path is None:
            return JSONResponse({"detail": "There is no such picture."}, 404)
        # A finished picture keeps its name for good; previews are asked for by a version.
        headers = {"cache-control": "no-cache"}
        if name.endswith(".jpg"):  # small, and replaced while it is painted: whole as it is now
            return Response(path.read_bytes(), media_type="image/jpeg", headers=headers)
        if not download:
            return FileResponse(path, headers=headers)
        return FileResponse(path, headers=headers, filename=_download_name(desk, identity, name))

    @application.get("/studio/examples/{name}")
    def example(name: str) -> Response:
        """Return one of the example pictures."""
        if name not in (*EXAMPLE_PHOTOS, *EXAMPLE_PAINTINGS):
            return JSONResponse({"detail": "There is no such example."}, 404)
        return Response(
            _read_resource("examples", name), media_type="image/jpeg", headers={"cache-control": "max-age=3600"}
        )

    @application.get("/studio/studio.{kind}")
    def own_file(kind: str) -> Response:
        """Return the page's script or its style."""
        name = f"studio.{kind}"
        if name not in PAGE_FILES:
            return JSONResponse({"detail": "There is nothing here."}, 404)
        return Response(_read_resource(name), media_type=PAGE_FILES[name], headers={"cache-control": "no-cache"})


def execute_action(desk: StudioService, wish: dict[str, Any]) -> None:
    """Do what the page asks for; raises UsageError for what is not understood."""
    workshop, identity = desk.queue, wish.get("identity")
    state = wish.get("state")
    if not isinstance(identity, str) or not isinstance(state, int | None):
        raise UsageError("There is no such painting here.")
    doings: dict[str, Callable[[], None]] = {
        "pause": lambda: workshop.pause_job(identity),
        "go_on": lambda: workshop.resume_job(identity, state),
        "keep": lambda: workshop.save_copy(identity),
        "stop": lambda: workshop.stop_job(identity),
        "stop_now": lambda: workshop.stop_job(identity, now=True),
        "remove": lambda: workshop.remove_job(identity),
        "steer": lambda: desk.change_settings(identity, _check_changes(wish.get("changes"))),
    }
    act = wish.get("act")
    if not isinstance(act, str) or act not in doings:
        raise UsageError(f"There is nothing like this to do: {str(act)[:40]}")
    doings[act]()


def _check_changes(changes: Any) -> dict[str, Any]:
    if not isinstance(changes, dict) or not all(isinstance(name, str) for name in changes):
        raise UsageError("There is nothing to change.")
    return changes


def _download_name(desk: StudioService, identity: str, name: str) -> str:
    try:
        it = desk.queue.get_job(identity)
    except UsageError:
        return name
    stem = f"{it.photo.rsplit('.', 1)[0]}_{it.paintings[0].rsplit('.', 1)[0]}"
    mark = "" if name in ("picture.png", "film.mp4") and it.stage in FINISHED else f"_{name.split('.')[0]}"
    return f"{stem}{mark}.{name.rsplit('.', 1)[1]}"


def _read_resource(*parts: str) -> bytes:
    return resources("impasto.studio").joinpath(*parts).read_bytes()
