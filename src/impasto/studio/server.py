"""The server: Gradio's page and the studio's own addresses behind the security middleware, on this machine."""

import asyncio
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from impasto.studio.security import Application, Receive, Scope, SecurityMiddleware, Send
from impasto.studio.store import JobStore
from impasto.studio.uploads import MAX_UPLOAD_BYTES

OFFLINE_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
SCRIPT_TAG = f'<script src="studio/static/studio.js?{version("impasto")}"></script>'.encode()
QUEUE_POLL_SECONDS = 0.02  # by default Gradio's queue checks a thousand times a second
MAX_GRADIO_QUEUE = 50
MAX_CONNECTIONS = 200
MAX_HEADER_BYTES = 65536
SHUTDOWN_SECONDS = 2


def configure_gradio(store: JobStore) -> None:
    """Tell Gradio, before it is imported, to contact no other machine and to keep its files in the studio's folder."""
    os.environ.update(OFFLINE_ENVIRONMENT)
    os.environ["GRADIO_TEMP_DIR"] = str(store.uploads)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(store.uploads / "examples")


@contextmanager
def open_studio(
    store: JobStore, *, hosts: frozenset[str] = frozenset(), password: str | None = None, threads: int | None = None
) -> Iterator[tuple[Application, Any]]:
    """Open a studio: yields the ASGI application and the queue, which paints until the block ends."""
    configure_gradio(store)
    from impasto.studio.queue import JobQueue

    queue = JobQueue(store, threads=threads)
    try:
        yield make_application(store, queue, hosts, password), queue
    finally:
        queue.close()


def make_application(store: JobStore, queue: Any, hosts: frozenset[str], password: str | None) -> Application:
    """Put the page, the studio's addresses and the security middleware together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Gradio's own imports
        import gradio as gr
    from fastapi import FastAPI

    from impasto.studio.page import PAGE_HEAD, build_page
    from impasto.studio.routes import add_routes
    from impasto.studio.service import StudioService

    service = StudioService(store, queue)
    page = build_page(service)
    page.has_launched = True  # when mounted, Gradio forgets to set it, and then takes files from anywhere
    page.queue(max_size=MAX_GRADIO_QUEUE)
    page._queue.sleep_when_free = QUEUE_POLL_SECONDS
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(application, service)
    gr.mount_gradio_app(
        application,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=MAX_UPLOAD_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=_make_theme(),
        head=PAGE_HEAD,
        blocked_paths=[str(store.jobs)],
    )

    def check_space(needed_bytes: int) -> None:
        queue.free_space(needed_bytes)

    return SecurityMiddleware(
        ScriptInjection(application), uploads=store.uploads, hosts=hosts, password=password, check_space=check_space
    )


def _make_theme() -> Any:
    import gradio as gr

    return gr.themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        font=("system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    )


class ScriptInjection:
    """Writes the studio's script before all others into the page; no setting of Gradio's puts one there."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does; the page alone is held until it is complete."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self.application(scope, receive, send)
            return
        start: dict[str, Any] = {}
        body = bytearray()

        async def hold(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                page = bytes(body).replace(b"<head>", b"<head>" + SCRIPT_TAG, 1)
                headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
                start["headers"] = [*headers, (b"content-length", str(len(page)).encode())]
                await send(start)
                await send({"type": "http.response.body", "body": page})

        uncompressed = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
        await self.application({**scope, "headers": uncompressed}, receive, hold)


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    max_bytes: int,
    hosts: frozenset[str],
    password: str | None,
    on_start: Callable[[tuple[str, int]], None],
) -> None:
    """Serve a studio until it is interrupted; `on_start` is called with its address once it answers."""
    with open_studio(JobStore(folder, max_bytes), hosts=hosts, password=password) as (application, queue):
        import uvicorn

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                for server in self.servers:
                    for bound in server.sockets:
                        on_start(bound.getsockname())

            async def shutdown(self, sockets: Any = None) -> None:
                queue.is_closing = True  # which answers the pages that wait for changes
                await super().shutdown(sockets)

        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        asyncio.run(Server(config).serve())
