"""The server: the studio's application behind the security middleware, on this machine."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from filelock import FileLock, Timeout

from impasto.errors import UsageError
from impasto.studio.queue import JobQueue
from impasto.studio.routes import make_api
from impasto.studio.security import SecurityMiddleware
from impasto.studio.service import StudioService
from impasto.studio.store import JobStore

MAX_CONNECTIONS = 200
MAX_HEADER_BYTES = 65536
SHUTDOWN_SECONDS = 2


class StudioServer(uvicorn.Server):
    """A server that says where it listens, and lets pages go that wait for changes when it is ended."""

    def __init__(self, config: uvicorn.Config, queue: JobQueue, on_start: Callable[[tuple[str, int]], None]) -> None:
        super().__init__(config)
        self.queue: JobQueue = queue
        self.on_start: Callable[[tuple[str, int]], None] = on_start

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for server in self.servers:
            for bound in server.sockets:
                self.on_start(bound.getsockname())

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop listening."""
        self.queue.begin_closing()
        await super().shutdown(sockets)


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
    """Serve a studio until it is interrupted; `on_start` is called with its address once it answers.

    Raises UsageError if another studio has the folder, or it can't be written to.
    """
    lock = FileLock(folder / "lock")  # the empty file stays: two that wait for it could otherwise both get it
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"Another studio has `folder` {folder} open: use that one, or choose another", setting="folder"
        ) from None
    except OSError as error:
        raise UsageError(f"`folder` {folder} can't be written to, {error.strerror}: choose another") from None
    store = JobStore(folder, max_bytes)
    queue = JobQueue(store)
    try:
        application = SecurityMiddleware(
            make_api(StudioService(store, queue)), hosts=hosts, password=password, check_space=queue.free_space
        )
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
        asyncio.run(StudioServer(config, queue, on_start).serve())
    finally:
        queue.close()
        lock.release()
