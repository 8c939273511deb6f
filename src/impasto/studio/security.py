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

from impasto.errors import UsageError
from impasto.studio.uploads import MAX_UPLOAD_BYTES, check_upload

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# What the page needs of Gradio's many routes, and the studio's own. All others are closed.
ALLOWED_ROUTES = re.compile(
    r"/(|config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|static/.*|assets/.*|pwa_icon(/\d+)?"
    r"|studio/(state|act|studio\.js|studio\.css|examples/[\w.-]+|pictures/[^/]+/[^/]+)"
    r"|gradio_api/(info/?|app_id/?|startup-events|theme\.css|upload|upload_progress|heartbeat/[\w-]+|reset/?|cancel"
    r"|queue/(join|data)|(run|api|call)/[\w/-]+|file=.*|login_check/?))"
)
STATIC_ROUTES = re.compile(r"/(static/|assets/|theme\.css|favicon\.ico|gradio_api/theme\.css|manifest\.json)")
MAX_JSON_BYTES = 2_000_000  # bytes of a request that is no upload
MAX_UPLOAD_BYTES = MAX_UPLOAD_BYTES + 100_000
BURST_REQUESTS, REQUESTS_PER_SECOND = 150, 25.0  # requests of one visitor, those for the page's own files not counted
MAX_VISITORS = 1000


class RefusedError(Exception):
    """A request that is not let in: the status and a word why."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class SecurityMiddleware:
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
        check_space: Callable[[int], None] | None = None,
    ) -> None:
        self.application, self.uploads, self.password, self.check_space = application, uploads, password, check_space
        self.hosts = hosts | {"localhost"}
        self.buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
        gate = SecurityHeaders(send)
        try:
            self._check(scope, headers)
            receive = await self._limit_body(scope, headers, receive)
            await self.application(scope, receive, gate)
        except RefusedError as refused:
            if not gate.has_started:
                await _send_refusal(send, refused)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._is_known_host(host):
            raise RefusedError(421, "The studio is not called by this name.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise RefusedError(403, "Requests from other pages are refused.")
        site = headers.get("sec-fetch-site", "none")
        if site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            raise RefusedError(403, "Requests from other pages are refused.")
        visitor = (scope.get("client") or ("",))[0]
        path = _path(scope)
        if not STATIC_ROUTES.match(path):
            self._check_rate(visitor)
        if self.password is not None:
            self._check_password(visitor, headers.get("authorization", ""))
        if not ALLOWED_ROUTES.fullmatch(path):
            raise RefusedError(404, "There is nothing here.")
        if path.startswith("/gradio_api/file="):
            self._check_file(path.removeprefix("/gradio_api/file="))

    def _is_known_host(self, host: str) -> bool:
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

    def _check_rate(self, visitor: str) -> None:
        bucket = self.buckets.setdefault(visitor, TokenBucket())
        self.buckets.move_to_end(visitor)
        if len(self.buckets) > MAX_VISITORS:
            self.buckets.popitem(last=False)
        if not bucket.try_take(1):
            raise RefusedError(429, "Too many requests: wait a moment.", {"retry-after": "2"})

    def _check_password(self, visitor: str, given: str) -> None:
        kind, _, words = given.partition(" ")
        try:
            secret = base64.b64decode(words, validate=True).partition(b":")[2] if kind.lower() == "basic" else b""
        except ValueError:
            secret = b""
        if not hmac.compare_digest(secret, (self.password or "").encode()):
            if given and not self.buckets.setdefault(visitor, TokenBucket()).try_take(BURST_REQUESTS / 10):
                raise RefusedError(429, "Too many wrong passwords: wait a moment.", {"retry-after": "10"})
            raise RefusedError(401, "This studio has a password.", {"www-authenticate": 'Basic realm="impasto studio"'})

    def _check_file(self, name: str) -> None:
        try:
            check_upload(self.uploads, name)
        except UsageError:
            raise RefusedError(403, "This file is not shown.") from None

    async def _limit_body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """Bound a request's body; of one that is no upload, check every file that it names."""
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            return receive
        upload = _path(scope) == "/gradio_api/upload"
        limit = MAX_UPLOAD_BYTES if upload else MAX_JSON_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            raise RefusedError(413, f"This is too much at once: {limit // 1_000_000} MB at most.")
        if upload:
            try:
                if self.check_space:
                    self.check_space(int(length))
            except UsageError as error:
                raise RefusedError(507, str(error)) from None
            return LimitedBody(receive, limit)
        body = await LimitedBody(receive, limit).read_all()
        checked = self._check_json(body, headers.get("content-type", ""))
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

    def _check_json(self, body: bytes, kind: str) -> bytes:
        if not body:
            return body
        if not kind.startswith("application/json"):  # the kinds that a foreign form can send
            raise RefusedError(415, "Only JSON is understood here.")
        try:
            words = json.loads(body)
        except (ValueError, RecursionError):
            raise RefusedError(400, "This is no JSON.") from None
        self._check_paths(words)
        return json.dumps(words).encode()

    def _check_paths(self, words: Any, depth: int = 0) -> None:
        if depth > 30:
            raise RefusedError(400, "This is nested too deep.")
        if isinstance(words, dict):
            if words.get("path") is not None:
                words.pop("url", None)
                self._check_file(words["path"])
            for value in words.values():
                self._check_paths(value, depth + 1)
        elif isinstance(words, list):
            for value in words:
                self._check_paths(value, depth + 1)


class TokenBucket:
    """Fills at a steady pace, and is emptied by requests."""

    def __init__(self) -> None:
        self.level, self.at = float(BURST_REQUESTS), time.monotonic()

    def try_take(self, amount: float) -> bool:
        """Take so much out, if it is there."""
        now = time.monotonic()
        self.level = min(float(BURST_REQUESTS), self.level + (now - self.at) * REQUESTS_PER_SECOND)
        self.at = now
        if self.level < amount:
            return False
        self.level -= amount
        return True


class LimitedBody:
    """A body that is cut off where it becomes too long, whatever length it said to have."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.bytes_left, self.limit = receive, limit, limit

    async def __call__(self) -> MutableMapping[str, Any]:
        """Receive the next piece."""
        message = await self.receive()
        self.bytes_left -= len(message.get("body", b""))
        if self.bytes_left < 0:
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


class SecurityHeaders:
    """Passes an answer on, with the headers that keep it to this page."""

    def __init__(self, send: Send) -> None:
        self.send, self.has_started = send, False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Pass a piece on."""
        if message["type"] == "http.response.start":
            self.has_started = True
            message["headers"] = [*message.get("headers", []), *SAFE_HEADERS]
        await self.send(message)


# Scripts and styles of this page alone (Gradio evaluates templates of its own), and nothing from or to elsewhere.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
SAFE_HEADERS = [
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def local_host_names(*more: str) -> frozenset[str]:
    """List the names of this machine."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name.partition('.')[0]}.local", *(it.lower() for it in more)} - {""})


def _path(scope: Scope) -> str:
    path = str(scope["path"])
    root = str(scope.get("root_path", ""))
    return path.removeprefix(root) if root else path


async def _send_refusal(send: Send, refused: RefusedError) -> None:
    body = json.dumps({"detail": refused.message, "error": refused.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
