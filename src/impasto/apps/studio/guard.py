"""The door: who may come in, by which name, how often, with how much, and to which rooms. Plain ASGI."""

import base64
import hmac
import ipaddress
import json
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from impasto.apps.studio.uploads import MOST_BYTES, accept
from impasto.errors import UsageError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# What the page needs of Gradio's many routes, and the studio's own. All others are closed.
ROOMS = re.compile(
    r"/(|config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|static/.*|assets/.*|pwa_icon(/\d+)?"
    r"|studio/(state|act|studio\.js|studio\.css|examples/[\w.-]+|pictures/[^/]+/[^/]+)"
    r"|gradio_api/(info/?|app_id/?|startup-events|theme\.css|upload|upload_progress|heartbeat/[\w-]+|reset/?|cancel"
    r"|queue/(join|data)|(run|api|call)/[\w/-]+|file=.*|login_check/?))"
)
STILL = re.compile(r"/(static/|assets/|theme\.css|favicon\.ico|gradio_api/theme\.css|manifest\.json)")
LONGEST_WORDS = 2_000_000  # bytes of a request that is no upload
LONGEST_UPLOAD = MOST_BYTES + 100_000
BURST, PER_SECOND = 150, 25.0  # requests of one visitor, those for the page's own files not counted
MOST_VISITORS = 1000


class RefusedError(Exception):
    """A request that is not let in: the status and a word why."""

    def __init__(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(words)
        self.status, self.words, self.headers = status, words, headers or {}


class Guard:
    """Stands before the whole application; what it does not let in, nothing behind it sees.

    `hosts` are the names by which the studio may be called, besides numeric addresses and localhost; a foreign name is
    how a strange page reaches a server on this machine. `uploads` is the only folder whose files a request may name.
    """

    def __init__(
        self,
        application: Application,
        *,
        uploads: Path,
        hosts: frozenset[str] = frozenset(),
        password: str | None = None,
        check_room: Callable[[int], None] | None = None,
    ) -> None:
        self.application, self.uploads, self.password, self.check_room = application, uploads, password, check_room
        self.hosts = hosts | {"localhost"}
        self.buckets: OrderedDict[str, Bucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
        gate = Gate(send)
        try:
            self._check(scope, headers)
            receive = await self._limit_body(scope, headers, receive)
            await self.application(scope, receive, gate)
        except RefusedError as refused:
            if not gate.begun:
                await _refuse(send, refused)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise RefusedError(421, "The studio is not called by this name.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise RefusedError(403, "Requests from other pages are refused.")
        site = headers.get("sec-fetch-site", "none")
        if site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            raise RefusedError(403, "Requests from other pages are refused.")
        visitor = (scope.get("client") or ("",))[0]
        path = _path(scope)
        if not STILL.match(path):
            self._count(visitor)
        if self.password is not None:
            self._check_password(visitor, headers.get("authorization", ""))
        if not ROOMS.fullmatch(path):
            raise RefusedError(404, "There is nothing here.")
        if path.startswith("/gradio_api/file="):
            self._check_file(path.removeprefix("/gradio_api/file="))

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.lower() in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # a number can't be made to point elsewhere

    def _count(self, visitor: str) -> None:
        bucket = self.buckets.setdefault(visitor, Bucket())
        self.buckets.move_to_end(visitor)
        if len(self.buckets) > MOST_VISITORS:
            self.buckets.popitem(last=False)
        if not bucket.take(1):
            raise RefusedError(429, "Too many requests: wait a moment.", {"retry-after": "2"})

    def _check_password(self, visitor: str, given: str) -> None:
        kind, _, words = given.partition(" ")
        try:
            secret = base64.b64decode(words, validate=True).partition(b":")[2] if kind.lower() == "basic" else b""
        except ValueError:
            secret = b""
        if not hmac.compare_digest(secret, (self.password or "").encode()):
            if given and not self.buckets.setdefault(visitor, Bucket()).take(BURST / 10):
                raise RefusedError(429, "Too many wrong passwords: wait a moment.", {"retry-after": "10"})
            raise RefusedError(401, "This studio has a password.", {"www-authenticate": 'Basic realm="impasto studio"'})

    def _check_file(self, name: str) -> None:
        try:
            accept(self.uploads, name)
        except UsageError:
            raise RefusedError(403, "This file is not shown.") from None

    async def _limit_body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """Bound a request's body; of one that is no upload, check every file that it names."""
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            return receive
        upload = _path(scope) == "/gradio_api/upload"
        limit = LONGEST_UPLOAD if upload else LONGEST_WORDS
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            raise RefusedError(413, f"This is too much at once: {limit // 1_000_000} MB at most.")
        if upload:
            try:
                if self.check_room:
                    self.check_room(int(length))
            except UsageError as error:
                raise RefusedError(507, str(error)) from None
            return Counted(receive, limit)
        body = await Counted(receive, limit).read_all()
        checked = self._check_words(body, headers.get("content-type", ""))
        sent = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": checked, "more_body": False}

        scope["headers"] = [
            (name, str(len(checked)).encode() if name.lower() == b"content-length" else value)
            for name, value in scope["headers"]
        ]
        return replay

    def _check_words(self, body: bytes, kind: str) -> bytes:
        if not body:
            return body
        if not kind.startswith("application/json"):  # the kinds that a foreign form can send
            raise RefusedError(415, "Only JSON is understood here.")
        try:
            words = json.loads(body)
        except (ValueError, RecursionError):
            raise RefusedError(400, "This is no JSON.") from None
        self._check_names(words)
        return json.dumps(words).encode()

    def _check_names(self, words: Any, depth: int = 0) -> None:
        if depth > 30:
            raise RefusedError(400, "This is nested too deep.")
        if isinstance(words, dict):
            if words.get("path") is not None:
                words.pop("url", None)
                self._check_file(words["path"])
            for value in words.values():
                self._check_names(value, depth + 1)
        elif isinstance(words, list):
            for value in words:
                self._check_names(value, depth + 1)


class Bucket:
    """Fills at a steady pace, and is emptied by requests."""

    def __init__(self) -> None:
        self.level, self.at = float(BURST), time.monotonic()

    def take(self, amount: float) -> bool:
        """Take so much out, if it is there."""
        now = time.monotonic()
        self.level = min(float(BURST), self.level + (now - self.at) * PER_SECOND)
        self.at = now
        if self.level < amount:
            return False
        self.level -= amount
        return True


class Counted:
    """A body that is cut off where it becomes too long, whatever length it said to have."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.left, self.limit = receive, limit, limit

    async def __call__(self) -> MutableMapping[str, Any]:
        """Receive the next piece."""
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise RefusedError(413, f"This is too much at once: {self.limit // 1_000_000} MB at most.")
        return message

    async def read_all(self) -> bytes:
        """Receive all pieces."""
        pieces = []
        while True:
            message = await self()
            pieces.append(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return b"".join(pieces)


class Gate:
    """Passes an answer on, with the headers that keep it to this page."""

    def __init__(self, send: Send) -> None:
        self.send, self.begun = send, False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Pass a piece on."""
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = [*message.get("headers", []), *SAFE_HEADERS]
        await self.send(message)


# Scripts and styles of this page alone (Gradio evaluates templates of its own), and nothing from or to elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
SAFE_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def own_names(*more: str) -> frozenset[str]:
    """List the names of this machine."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name.partition('.')[0]}.local", *(it.lower() for it in more)} - {""})


def _path(scope: Scope) -> str:
    path = str(scope["path"])
    root = str(scope.get("root_path", ""))
    return path.removeprefix(root) if root else path


async def _refuse(send: Send, refused: RefusedError) -> None:
    body = json.dumps({"detail": refused.words, "error": refused.words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
