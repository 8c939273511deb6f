"""The studio's security middleware: which requests pass, with a stand-in for the page."""

import asyncio
import base64
from typing import Any

import pytest

from impasto.errors import UsageError
from impasto.studio.security import BURST_REQUESTS, MAX_JSON_BYTES, SecurityMiddleware
from impasto.studio.uploads import MAX_UPLOAD_BYTES

Answer = tuple[int, dict[str, str], bytes]


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """Stands for the application: answers with what it received."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode() + b" " + body})


@pytest.fixture
def middleware() -> SecurityMiddleware:
    return SecurityMiddleware(inner)


def ask(
    middleware: SecurityMiddleware, path: str, body: bytes | list[bytes] | None = None, method: str = "", **headers: str
) -> Answer:
    """Send a request; the Host is this machine unless given, and a body is JSON."""
    pieces = body if isinstance(body, list) else [body or b""]
    sent = {"host": "127.0.0.1:7860", **({} if body is None else {"content-type": "application/json"}), **headers}
    if isinstance(body, bytes) and "content_length" not in sent:
        sent["content_length"] = str(len(body))
    scope = {
        "type": "http",
        "method": method or ("GET" if body is None else "POST"),
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode("latin1")) for name, value in sent.items()],
        "client": ("10.0.0.9", 5000),
    }
    messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    asyncio.run(middleware(scope, receive, send))
    sent_headers = {name.decode(): value.decode() for name, value in answers[0]["headers"]}
    return answers[0]["status"], sent_headers, b"".join(answer.get("body", b"") for answer in answers[1:])


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:80", "LocalHost", "[::1]:7860", "192.168.1.7:7860"])
def test_numeric_hosts_and_localhost_are_allowed(middleware, host):
    assert ask(middleware, "/", host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "a@b"]
)
def test_a_foreign_host_is_refused(middleware, host):
    assert ask(middleware, "/", host=host)[0] == 421


def test_configured_host_names_are_allowed():
    middleware = SecurityMiddleware(inner, hosts=frozenset({"atelier.local"}))
    assert ask(middleware, "/", host="atelier.local:7860")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1", "x"])
@pytest.mark.parametrize("path", ["/api/jobs", "/api/plan", "/api/recipes/x"])
def test_a_foreign_origin_is_refused(middleware, origin, path):
    assert ask(middleware, path, b"{}", origin=origin)[0] == 403
    assert ask(middleware, path, b"{}", origin="http://127.0.0.1:7860")[0] == 200


def test_other_sites_may_link_but_not_fetch_or_embed(middleware):
    assert ask(middleware, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200
    assert ask(middleware, "/api/events", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")[0] == 403
    policy = ask(middleware, "/")[1]["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert not any(word in policy for word in ("http", "unsafe", "*"))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_content_types_of_foreign_forms_are_refused(middleware, kind):
    assert ask(middleware, "/api/jobs", b"{}", content_type=kind)[0] == 415


@pytest.mark.parametrize(("path", "limit"), [("/api/jobs", MAX_JSON_BYTES), ("/api/uploads", MAX_UPLOAD_BYTES)])
def test_bodies_that_are_large_or_of_unknown_length_are_refused(middleware, path, limit):
    kind = "application/octet-stream" if path == "/api/uploads" else "application/json"
    assert ask(middleware, path, b"{}", content_type=kind)[0] == 200
    assert ask(middleware, path, b"{}", content_type=kind, content_length=str(limit + 1))[0] == 413
    assert ask(middleware, path, b"{}", content_type=kind, content_length="-5")[0] == 413
    assert ask(middleware, path, [b" "] * 4, content_type=kind, transfer_encoding="chunked")[0] == 411


def test_an_upload_needs_space():
    def refuse(length: int) -> None:
        raise UsageError(f"The folder is full, {length} bytes are too many.")

    middleware = SecurityMiddleware(inner, check_space=refuse)
    status, _, said = ask(middleware, "/api/uploads", b"x", content_type="application/octet-stream")
    assert (status, "full" in said.decode()) == (507, True)


def test_many_requests_are_limited_but_not_static_files(middleware):
    answers = [ask(middleware, "/api/events")[0] for _ in range(1000)]
    assert answers[: int(BURST_REQUESTS) - 1] == [200] * (int(BURST_REQUESTS) - 1)
    assert answers.count(429) > 500
    assert ask(middleware, "/static/studio.js")[0] == 200  # the page's own files don't count


def test_a_password_is_needed_everywhere_and_guessing_is_slow():
    middleware = SecurityMiddleware(inner, password="correct horse")

    def try_word(word: str, path: str = "/") -> int:
        token = base64.b64encode(f"anyone:{word}".encode()).decode()
        return ask(middleware, path, authorization=f"Basic {token}")[0]

    status, headers, _ = ask(middleware, "/")
    assert status == 401
    assert headers["www-authenticate"].startswith("Basic")
    for path in ("/api/events", "/api/openapi.json", "/static/studio.js", "/api/pictures/cat"):
        assert ask(middleware, path)[0] == 401
    assert try_word("correct horse") == 200
    assert try_word("correct horse", "/api/events") == 200
    guesses = [try_word(f"guess {number}") for number in range(40)]
    assert guesses[0] == 401
    assert guesses[-1] == 429
    assert ask(middleware, "/", authorization="Basic %%%")[0] in (401, 429)


def test_web_sockets_are_closed(middleware):
    answers = []

    async def send(message: Any) -> None:
        answers.append(message)

    asyncio.run(middleware({"type": "websocket", "path": "/", "headers": []}, None, send))  # type: ignore[arg-type]
    assert answers == [{"type": "websocket.close", "code": 1008}]
