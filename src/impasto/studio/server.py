"""The server: the page and the studio's own routes behind one door, on this machine."""

import asyncio
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from impasto.studio.store import JobStore

OFFLINE_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}

QUEUE_POLL_SECONDS = (
    0.02  # seconds; by default Gradio's queue looks a thousand times a second whether something is to be done
)


def configure_gradio(shelf: JobStore) -> None:
    """Tell Gradio, before it is imported, to ask nobody outside and to keep its files in the studio's folder."""
    os.environ.update(OFFLINE_ENVIRONMENT)
    os.environ["GRADIO_TEMP_DIR"] = str(shelf.uploads)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(shelf.uploads / "examples")


@contextmanager
def open_studio(
    shelf: JobStore, *, hosts: frozenset[str] = frozenset(), password: str | None = None, threads: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """Open a studio: yields the ASGI application and the workshop, whose painter is at work until the block ends."""
    configure_gradio(shelf)
    from impasto.studio.queue import JobQueue

    workshop = JobQueue(shelf, threads=threads)
    try:
        yield make_application(shelf, workshop, hosts, password), workshop
    finally:
        workshop.close()


def make_application(shelf: JobStore, workshop: Any, hosts: frozenset[str], password: str | None) -> Any:
    """Put page, routes and door together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Gradio's own imports
        import gradio as gr
    from fastapi import FastAPI

    from impasto.studio.page import PAGE_HEAD, build_page
    from impasto.studio.routes import add_routes
    from impasto.studio.script_injection import ScriptInjection
    from impasto.studio.security import SecurityMiddleware
    from impasto.studio.service import StudioService

    desk = StudioService(shelf, workshop)
    page = build_page(desk)
    page.has_launched = True  # mounted, Gradio forgets to say so, and then takes files from anywhere
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(inner, desk)
    fonts = ("system-ui", "sans-serif")
    theme = gr.themes.Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        font=fonts,
        font_mono=("ui-monospace", "monospace"),
    )
    page.queue(max_size=50)
    page._queue.sleep_when_free = QUEUE_POLL_SECONDS
    gr.mount_gradio_app(
        inner,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=100_000_000,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        head=PAGE_HEAD,
        blocked_paths=[str(shelf.paintings)],
    )

    def check_room(length: int) -> None:
        shelf.free_space(length, workshop.get_all())

    return SecurityMiddleware(
        ScriptInjection(inner), uploads=shelf.uploads, hosts=hosts, password=password, check_space=check_room
    )


def serve(
    folder: Path, *, host: str, port: int, most_bytes: int, hosts: frozenset[str], password: str | None, told: Any
) -> None:
    """Serve a studio until it is interrupted; `told` is called with its address when it answers."""
    shelf = JobStore(folder, most_bytes)
    with open_studio(shelf, hosts=hosts, password=password) as (application, workshop):
        import uvicorn

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                for server in self.servers:
                    for bound in server.sockets:
                        told(bound.getsockname())

            async def shutdown(self, sockets: Any = None) -> None:
                workshop.leaving = True  # whoever waits for news is answered
                await super().shutdown(sockets)

        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            log_level="warning",
            timeout_graceful_shutdown=2,
            server_header=False,
            limit_concurrency=200,
            h11_max_incomplete_event_size=65536,
        )
        asyncio.run(Server(config).serve())
