"""The studio's script before all others of the page: no setting of Gradio's puts one there."""

from typing import Any

from impasto.studio.security import Application, Receive, Scope, Send

SCRIPT_TAG = b'<script src="studio/studio.js"></script>'


class ScriptInjection:
    """Stands before the application, and writes the script into the page that it sends."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does; the page alone is held until it is whole."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self.application(scope, receive, send)
            return
        begin: dict[str, Any] = {}
        body = bytearray()

        async def hold(message: Any) -> None:
            if message["type"] == "http.response.start":
                begin.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                page = bytes(body).replace(b"<head>", b"<head>" + SCRIPT_TAG, 1)
                headers = [(name, value) for name, value in begin["headers"] if name.lower() != b"content-length"]
                begin["headers"] = [*headers, (b"content-length", str(len(page)).encode())]
                await send(begin)
                await send({"type": "http.response.body", "body": page})

        readable = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
        await self.application({**scope, "headers": readable}, receive, hold)
