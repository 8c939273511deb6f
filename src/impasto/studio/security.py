"""The server's security, as ASGI middleware: hosts, origins, password, rates, sizes."""

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

# Those of Gradio's many routes that the page needs, and the studio's own. All others are closed.
ALLOWED_ROUTES = re.compile(
    r"/(|config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|static/.*|assets/.*|pwa_icon(/\d+)?"
    r"|studio/(updates|actions|static/studio\.(js|css)|examples/[\w.-]+|pictures/[^/]+/[^/]+)"
    r"|gradio_api/(info/?|app_id/?|startup-events|theme\.css|upload|upload_progress|heartbeat/[\w-]+|reset/?|cancel"
    r"|queue/(join|data)|(run|api|call)/[\w/-]+|file=.*|login_check/?))"
)
STATIC_ROUTES = re.compile(r"/(static/|assets/|theme\.css|favicon\.ico|gradio_api/theme\.css|manifest\.json)")
MAX_JSON_BYTES = 2_000_000
MAX_UPLOAD_BODY_BYTES = MAX_UPLOAD_BYTES + 100_000  # with the form around the file
BURST_REQUESTS, REQUESTS_PER_SECOND = 150, 25.0  # of one visitor, without those for the page's own files
GUESS_TOKENS = BURST_REQUESTS / 10  # that a wrong password costs
MAX_JSON_DEPTH = 30
MAX_VISITORS = 1000  # whose rates are remembered


class RefusedError(Exception):
    """A request is refused, with an HTTP status and the reason."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class SecurityMiddleware:
    """Checks each request before the application sees it.

    `hosts` are the names that the studio answers to, apart from numeric addresses and localhost: pages of other sites
    reach a server on this machine through names of their own. `uploads` is the only folder whose files a request may
    name. `check_space` is called with the size of an upload, and raises UsageError if there is no space for it.
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
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
        guarded_send = SecurityHeaders(send)
        try:
            self._check(scope, headers)
            receive = await self._limit_body(scope, headers, receive)
            await self.application(scope, receive, guarded_send)
        except RefusedError as refused:
            if not guarded_send.has_started:
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
        return True  # no other site can make a number lead here

    def _check_rate(self, visitor: str) -> None:
        bucket = self.buckets.setdefault(visitor, TokenBucket())
        self.buckets.move_to_end(visitor)
        if len(self.buckets) > MAX_VISITORS:
            self.buckets.popitem(last=False)
        if not bucket.try_take(1):
            raise RefusedError(429, "Too many requests: wait a moment.", {"retry-after": "2"})

    def _check_password(self, visitor: str, given: str) -> None:
        scheme, _, credentials = given.partition(" ")
        try:
            secret = (
                base64.b64decode(credentials, validate=True).partition(b":")[2] if scheme.lower() == "basic" else b""
            )
        except ValueError:
            secret = b""
        if not hmac.compare_digest(secret, (self.password or "").encode()):
            if given and not self.buckets.setdefault(visitor, TokenBucket()).try_take(GUESS_TOKENS):
                raise RefusedError(429, "Too many wrong passwords: wait a moment.", {"retry-after": "10"})
            raise RefusedError(401, "This studio has a password.", {"www-authenticate": 'Basic realm="impasto studio"'})

    def _check_file(self, name: str) -> None:
        try:
            check_upload(self.uploads, name)
        except UsageError:
            raise RefusedError(403, "This file is not shown.") from None

    async def _limit_body(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Receive:
        """Return `receive` with a limit on the body; JSON is read whole, and every file that it names is checked."""
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            return receive
        is_upload = _path(scope) == "/gradio_api/upload"
        limit = MAX_UPLOAD_BODY_BYTES if is_upload else MAX_JSON_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            raise _too_large(limit)
        body = LimitedBody(receive, limit)
        if is_upload:
            self._check_upload_space(int(length))
            return body
        checked = self._check_json(await body.read_all(), headers.get("content-type", ""))
        scope["headers"] = [
            (name, str(len(checked)).encode() if name.lower() == b"content-length" else value)
            for name, value in scope["headers"]
        ]
        messages = [{"type": "http.request", "body": checked, "more_body": False}]

        async def replay() -> MutableMapping[str, Any]:
            return messages.pop() if messages else await receive()

        return replay

    def _check_upload_space(self, size: int) -> None:
        try:
            if self.check_space:
                self.check_space(size)
        except UsageError as error:
            raise RefusedError(507, str(error)) from None

    def _check_json(self, body: bytes, content_type: str) -> bytes:
        if not body:
            return body
        if not content_type.startswith("application/json"):  # other types can come from the forms of other sites
            raise RefusedError(415, "Only JSON is understood here.")
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            raise RefusedError(400, "This is no JSON.") from None
        self._check_paths(data)
        return json.dumps(data).encode()

    def _check_paths(self, data: Any, depth: int = 0) -> None:
        """Refuse data that name a file other than an upload: Gradio opens each `path`, and may fetch each `url`."""
        if depth > MAX_JSON_DEPTH:
            raise RefusedError(400, "This is nested too deep.")
        if isinstance(data, dict) and data.get("path") is not None:
            data.pop("url", None)
            self._check_file(data["path"])
        for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
            self._check_paths(value, depth + 1)


class TokenBucket:
    """A rate limit: tokens come at a steady rate, and each request takes some."""

    def __init__(self) -> None:
        self.tokens, self.filled_at = float(BURST_REQUESTS), time.monotonic()

    def try_take(self, amount: float) -> bool:
        """Take so many tokens, if they are there."""
        now = time.monotonic()
        self.tokens = min(float(BURST_REQUESTS), self.tokens + (now - self.filled_at) * REQUESTS_PER_SECOND)
        self.filled_at = now
        if self.tokens < amount:
            return False
        self.tokens -= amount
        return True


class LimitedBody:
    """A request's body, refused when it becomes too long, whatever length was declared."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.bytes_left, self.limit = receive, limit, limit

    async def __call__(self) -> MutableMapping[str, Any]:
        """Receive the next part."""
        message = await self.receive()
        self.bytes_left -= len(message.get("body", b""))
        if self.bytes_left < 0:
            raise _too_large(self.limit)
        return message

    async def read_all(self) -> bytes:
        """Receive all parts."""
        parts = []
        while True:
            message = await self()
            parts.append(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return b"".join(parts)


class SecurityHeaders:
    """Sends a response with the headers that limit it to this page."""

    def __init__(self, send: Send) -> None:
        self.send, self.has_started = send, False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.has_started = True
            message["headers"] = [*message.get("headers", []), *SAFE_HEADERS]
        await self.send(message)


# Scripts and styles of this page only (Gradio evaluates its own templates), and no contact with other machines.
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


def local_host_names(*others: str) -> frozenset[str]:
    """List this machine's own names, and others."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name.partition('.')[0]}.local", *(other.lower() for other in others)} - {""})


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, f"This is too much at once: {limit // 1_000_000} MB at most.")


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
