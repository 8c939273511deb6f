"""The HTTP routes: for the page, and for programs; the same functions."""

import asyncio
import base64
import errno
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse
from fastapi.staticfiles import StaticFiles

from impasto.errors import ImpastoError
from impasto.images.formats import IMAGE_SUFFIXES
from impasto.settings.changes import STEERABLE
from impasto.settings.types import Preset
from impasto.studio.form import check_settings, field_values, form_fields, page_message
from impasto.studio.masks import GUARD_COLOR, PAINTING_COLORS, PRESERVE_COLOR
from impasto.studio.service import Composition, StudioService
from impasto.studio.store import FINISHED
from impasto.studio.uploads import BUILT_IN_UPLOADS, Role, Upload

NICENESS = 10  # the worker's is 5
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FINAL_NAMES = ("picture.png", "film.mp4")
Data = dict[str, Any]
Action = Literal["pause", "resume", "keep", "stop", "stop_now"]


def make_api(service: StudioService) -> FastAPI:
    """Return the application; the security middleware has checked every request."""
    api = FastAPI(title="impasto studio", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    api.mount("/static", StaticFiles(packages=[("impasto.studio", "static")]))
    add_input_routes(api, service)
    # One thread, behind the worker in priority, paints quick looks and measures plans.
    add_look_routes(api, service, ThreadPoolExecutor(1, initializer=lower_thread_priority))
    add_job_routes(api, service)

    @api.exception_handler(ImpastoError)
    async def explain(_: Request, error: ImpastoError) -> JSONResponse:
        return JSONResponse({"detail": page_message(error), "setting": getattr(error, "setting", "")}, 400)

    @api.exception_handler(OSError)
    async def explain_full_disk(_: Request, error: OSError) -> JSONResponse:
        if error.errno not in DISK_FULL:
            raise error
        return JSONResponse({"detail": "The disk is full: make room on it, and try again."}, 507)

    @api.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(Path(__file__).parent / "static" / "index.html", headers={"cache-control": "no-cache"})

    return api


def add_input_routes(api: FastAPI, service: StudioService) -> None:
    """Add what is chosen from: settings, photos, paintings."""
    uploads = service.uploads

    @api.get("/api/form")
    def form(preset: Preset = "default", network: str = "") -> Data:
        """Return the settings' fields, and their usual values with a preset."""
        usual = check_settings({"preset": preset, **({"network": network} if network else {})})
        colors = {"paintings": PAINTING_COLORS, "preserve": PRESERVE_COLOR, "guard": GUARD_COLOR}
        values, types = field_values(usual), ["image/*", *IMAGE_SUFFIXES]
        return {"fields": form_fields(), "values": values, "steerable": STEERABLE, "colors": colors, "types": types}

    @api.get("/api/tray")
    def tray() -> dict[str, list[Upload]]:
        """Return the photos and paintings to choose from: those that come with impasto, and those uploaded last."""
        return {f"{role}s": uploads.list_recent(role) + BUILT_IN_UPLOADS[role] for role in BUILT_IN_UPLOADS}

    @api.post("/api/uploads")
    async def upload(request: Request, name: str, role: Role = "photo") -> Upload:
        """Upload a picture or a film: the body is the file itself."""
        with tempfile.TemporaryDirectory(dir=service.store.root) as folder:
            path = Path(folder) / "upload"
            with path.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            return await asyncio.to_thread(uploads.add, path, name, role)

    @api.get("/api/pictures/{upload_id}")
    def picture(upload_id: str, side: int = 320) -> Response:
        """Return a small JPEG of an upload."""
        path = uploads.find_preview(upload_id, side)
        return FileResponse(path, headers={"cache-control": "private, max-age=86400"})

    @api.get("/api/masks/{upload_id}")
    def masks(upload_id: str) -> Response:
        """Return uploaded masks as they were brushed."""
        return FileResponse(uploads.find(upload_id, "masks"), media_type="image/png")

    api.delete("/api/uploads/{upload_id}", status_code=204)(uploads.remove)
    api.post("/api/recipes/{upload_id}")(service.read_recipe)
    api.post("/api/regions/{photo}")(service.find_regions)
    api.post("/api/faces/{photo}")(service.find_faces)


def add_look_routes(api: FastAPI, service: StudioService, background: Executor) -> None:
    """Add what is asked before painting: quick looks, variations, plans."""

    async def run(function: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(background, function, *values)

    @api.post("/api/quick_look")
    async def quick_look(
        wanted: Composition, fresh: bool = False, steps: Annotated[int, Query(ge=2, le=60)] = 20
    ) -> StreamingResponse:
        """Return small pictures, ever better, as lines of JSON: step, steps, and a JPEG in base 64.

        They go on from the last look at the same pictures, unless they are to be `fresh`.
        """
        looks = service.quick_look(wanted, steps, fresh=fresh)
        first = await run(next, looks)  # whose error is still answered with its status

        async def stream() -> AsyncIterator[str]:
            look, step = first, 0
            try:
                while look is not None:
                    jpeg = base64.b64encode(look).decode()
                    yield json.dumps({"step": step, "steps": steps, "jpeg": jpeg}) + "\n"
                    look, step = await run(next, looks, None), step + 1
            finally:
                background.submit(looks.close)  # type: ignore[attr-defined]

        return StreamingResponse(stream(), media_type="application/x-ndjson")

    api.post("/api/variations")(service.vary_settings)

    @api.post("/api/plan")
    async def plan(wanted: Composition) -> dict[str, str]:
        """Describe the size, time and memory that a picture will take."""
        return {"text": await run(service.plan_painting, wanted)}


def add_job_routes(api: FastAPI, service: StudioService) -> None:
    """Add the jobs: submitted, followed, changed, and their pictures."""
    queue = service.queue

    @api.get("/api/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[Data]:
        """Send all jobs, and then what changes until the queue is closed, as server-sent events."""
        loop, has_changed, revision = asyncio.get_running_loop(), asyncio.Event(), 0

        def wake() -> None:
            loop.call_soon_threadsafe(has_changed.set)

        queue.listeners.add(wake)
        try:
            while not queue.is_closing:
                has_changed.clear()
                update = queue.list_changes(revision)
                revision = update["revision"]
                yield update
                await has_changed.wait()
        finally:
            queue.listeners.discard(wake)

    @api.get("/api/jobs")
    def jobs() -> Data:
        """Return all jobs, and whether the painter is ready."""
        return queue.list_changes(0)

    @api.post("/api/jobs", status_code=201)
    def submit(wanted: Composition, request: Request) -> Data:
        """Put a picture or a film into the queue."""
        return service.submit(wanted, request.client.host if request.client else "").to_json()

    @api.get("/api/jobs/{job_id}")
    def status(job_id: str) -> Data:
        """Return a job's status, message, plan, progress, settings, snapshots, and files."""
        return queue.get_job(job_id).to_json()

    @api.patch("/api/jobs/{job_id}")
    def change(job_id: str, changes: Data) -> Data:
        """Change settings of a picture while it is painted."""
        service.change_settings(job_id, changes)
        return status(job_id)

    @api.post("/api/jobs/{job_id}/{action}")
    def act(job_id: str, action: Action, snapshot: int | None = None) -> Data:
        """Pause, resume (from an earlier snapshot if one is named), keep a copy, stop, or stop at once."""
        actions: dict[Action, Callable[[str], None]] = {
            "pause": queue.pause_job,
            "resume": partial(queue.resume_job, snapshot=snapshot),
            "keep": queue.keep_copy,
            "stop": queue.stop_job,
            "stop_now": partial(queue.stop_job, now=True),
        }
        actions[action](job_id)
        return status(job_id)

    api.delete("/api/jobs/{job_id}", status_code=204)(queue.remove_job)
    api.get("/api/jobs/{job_id}/composition")(service.reuse)

    @api.get("/api/jobs/{job_id}/files/{name}")
    def file(job_id: str, name: str, download: bool = False) -> Response:
        """Return a picture out of a job's folder."""
        path = service.store.find_file(job_id, name)
        if path is None:
            return JSONResponse({"detail": "There is no such picture."}, 404)
        headers = {"cache-control": "no-cache"}  # pictures are replaced, and the page asks for previews by version
        if name.endswith(".jpg"):  # read at once, as it may be replaced meanwhile
            return Response(path.read_bytes(), media_type="image/jpeg", headers=headers)
        return FileResponse(path, headers=headers, filename=_download_name(service, job_id, name) if download else None)


def lower_thread_priority() -> None:
    """Let all else go before this thread: on Linux, as elsewhere priorities are of whole processes."""
    if sys.platform == "linux":
        os.nice(NICENESS)


def _download_name(service: StudioService, job_id: str, name: str) -> str:
    job = service.queue.get_job(job_id)
    stem, suffix = name.rsplit(".", 1)
    mark = "" if name in FINAL_NAMES and job.status in FINISHED else f"_{stem}"
    return f"{job.photo.rsplit('.', 1)[0]}_{job.paintings[0].rsplit('.', 1)[0]}{mark}.{suffix}"
