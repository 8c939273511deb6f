"""The server's security, as ASGI middleware: hosts, origins, password, rates, sizes."""

import asyncio
import base64
import hmac
import ipaddress
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto.errors import UsageError
from impasto.studio.uploads import MAX_UPLOAD_BYTES

UPLOAD_ROUTE, UPLOAD_TYPE = "/api/uploads", "application/octet-stream"
STATIC_ROUTES = "/static/"
MAX_JSON_BYTES = 2_000_000  # of a request; an upload may have MAX_UPLOAD_BYTES
BURST_REQUESTS, REQUESTS_PER_SECOND = 150, 25.0  # of one visitor, without those for the page's own files
GUESS_TOKENS = BURST_REQUESTS / 10  # that a wrong password costs
PASSWORD_REALM = 'Basic realm="impasto studio"'
MAX_VISITORS = 1000  # whose rates are remembered


class SecurityMiddleware:
    """Checks each request before the application sees it.

    `hosts` are the names that the studio answers to, apart from numeric addresses and localhost: pages of other sites
    reach a server on this machine through names of their own. `check_space` is called with the size of an upload, and
    raises UsageError if there is no space for it.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        hosts: frozenset[str] = frozenset(),
        password: str | None = None,
        check_space: Callable[[int], None] | None = None,
    ) -> None:
        self.application: ASGIApp = application
        self.password: str | None = password
        self.check_space: Callable[[int], None] | None = check_space
        self.hosts: frozenset[str] = hosts | {"localhost"}
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

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SAFE_HEADERS]
            await send(message)

        try:
            self._check(scope, headers)
            if scope["method"] in ("POST", "PUT", "PATCH", "DELETE"):
                await self._check_body(scope, headers)
        except HTTPException as refused:
            answer = JSONResponse({"detail": refused.detail}, refused.status_code, refused.headers)
            await answer(scope, receive, send_safely)
        else:
            await self.application(scope, receive, send_safely)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._is_known_host(host):
            raise HTTPException(421, "The studio is not called by this name.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise HTTPException(403, "Requests from other pages are refused.")
        site = headers.get("sec-fetch-site", "none")
        if site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            raise HTTPException(403, "Requests from other pages are refused.")
        visitor = (scope.get("client") or ("",))[0]
        if not scope["path"].startswith(STATIC_ROUTES):
            self._check_rate(visitor)
        if self.password is not None:
            self._check_password(visitor, headers.get("authorization", ""))

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
            raise HTTPException(429, "Too many requests: wait a moment.", {"retry-after": "2"})

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
                raise HTTPException(429, "Too many wrong passwords: wait a moment.", {"retry-after": "10"})
            raise HTTPException(401, "This studio has a password.", {"www-authenticate": PASSWORD_REALM})

    async def _check_body(self, scope: Scope, headers: dict[str, str]) -> None:
        """Check the kind and the length of a body, which the server holds to it: JSON, or a file that is uploaded."""
        is_upload = scope["path"] == UPLOAD_ROUTE
        limit, kind = (MAX_UPLOAD_BYTES, UPLOAD_TYPE) if is_upload else (MAX_JSON_BYTES, "application/json")
        if "transfer-encoding" in headers:
            raise HTTPException(411, "Say how long this is: content-length is missing.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            raise HTTPException(413, f"This is too much at once: {limit // 1_000_000} MB at most.")
        given = headers.get("content-type", kind if length == "0" else "")
        if not given.startswith(kind):  # other types can come from the forms of other sites
            raise HTTPException(415, f"Only {kind} is understood here.")
        if is_upload and self.check_space:
            try:
                await asyncio.to_thread(self.check_space, int(length))
            except UsageError as error:
                raise HTTPException(507, str(error)) from None


class TokenBucket:
    """A rate limit: tokens come at a steady rate, and each request takes some."""

    def __init__(self) -> None:
        self.tokens: float = float(BURST_REQUESTS)
        self.filled_at: float = time.monotonic()

    def try_take(self, amount: float) -> bool:
        """Take so many tokens, if they are there."""
        now = time.monotonic()
        self.tokens = min(float(BURST_REQUESTS), self.tokens + (now - self.filled_at) * REQUESTS_PER_SECOND)
        self.filled_at = now
        if self.tokens < amount:
            return False
        self.tokens -= amount
        return True


# Files of this page alone: no script or style inside the page, no eval, and no contact with other machines.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
