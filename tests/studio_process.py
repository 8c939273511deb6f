"""What the studio's tests share: a studio as its users have it, in a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

PATIENCE = float(os.environ.get("IMPASTO_TEST_PATIENCE", "180"))  # seconds; a test machine may be busy


class Outside:
    """Stands for all other machines: records the HTTP requests to any of them."""

    def __init__(self) -> None:
        self.knocks: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        proxies = ("http_proxy", "https_proxy", "all_proxy")
        self.environment = {
            **{name: address for proxy in proxies for name in (proxy, proxy.upper())},
            **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"),
        }
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                with visitor:
                    visitor.settimeout(1)
                    self.knocks.append(visitor.recv(200))

    def close(self) -> None:
        self._socket.close()


class Studio:
    """A running `impasto studio`."""

    def __init__(self, folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "impasto", "studio", "--port", "0", "--folder", str(folder), *options]
        self.log = folder.with_name(f"{folder.name}.log")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)/", said)
        assert found, f"the studio said {said!r} and {self.log.read_text()}"
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ask(self, path: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, bytes]:
        """Send a request until it is not refused because of too many; returns status and answer."""
        until = time.monotonic() + PATIENCE
        status, answer = self.ask_once(path, body, method, **headers)
        while b"Too many requests" in answer and time.monotonic() < until:
            time.sleep(0.5)
            status, answer = self.ask_once(path, body, method, **headers)
        return status, answer

    def ask_once(self, path: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, bytes]:
        """Send a request, a POST where there is a body; returns status and answer."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        method = method or ("GET" if data is None else "POST")
        request = urllib.request.Request(self.url + path.lstrip("/"), data, method=method)
        if data is not None:
            request.add_header("content-type", "application/json")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def ask_json(self, path: str, body: Any = None, method: str = "") -> Any:
        """Send a request that is answered; what is refused raises AssertionError."""
        status, answer = self.ask(path, body, method)
        assert status < 300, answer.decode()
        return json.loads(answer) if answer else None

    def state(self) -> dict[str, Any]:
        """Return all that the page gets."""
        updates: dict[str, Any] = self.ask_json("api/jobs")
        updates["by_id"] = {job["id"]: job for job in updates["changed"]}
        return updates

    def get(self, job_id: str) -> dict[str, Any]:
        """Return what the page gets of a job."""
        found: dict[str, Any] = self.ask_json(f"api/jobs/{job_id}")
        return found

    def act(self, action: str, job_id: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Send an action, as a button of the page does."""
        path, query = f"api/jobs/{job_id}", f"?snapshot={more['snapshot']}" if "snapshot" in more else ""
        if action in ("change", "remove"):
            method = "PATCH" if action == "change" else "DELETE"
            status, body = self.ask(path, more.get("changes"), method)
        else:
            status, body = self.ask(f"{path}/{action}{query}", {})
        return status, json.loads(body or b"{}")

    def submit(self, photo: str, paintings: list[str], **settings: Any) -> str:
        """Put a picture or a film into the queue; returns its ID."""
        return str(self.ask_json("api/jobs", {"photo": photo, "paintings": paintings, "settings": settings})["id"])

    def wait_for(self, job_id: str, what: Any, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until `what` is true of a job, or is its status."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            job = self.get(job_id)
            if what(job) if callable(what) else job["status"] == what:
                return job
            time.sleep(0.1)
        job["progress"].pop("points")  # too long to read
        raise AssertionError(f"waited for {what} in vain: {job}")

    def upload(self, path: Path, role: str = "photo") -> str:
        """Upload a file as the page does; returns its ID."""
        request = urllib.request.Request(self.url + f"api/uploads?role={role}&name={path.name}", path.read_bytes())
        request.add_header("content-type", "application/octet-stream")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(json.loads(answer.read())["id"])
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def clear(self) -> None:
        """Stop and remove all jobs."""
        until = time.monotonic() + PATIENCE
        while known := self.state()["by_id"]:
            assert time.monotonic() < until
            for job_id, job in known.items():
                self.act("stop" if job["status"] == "painting" else "remove", job_id)
            time.sleep(0.1)

    def worker(self) -> int:
        """Return the ID of the process that paints."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == self.process.pid and "spawn_main" in words:
                return int(folder.name)
        raise AssertionError("there is no worker")

    def wait_for_absence(self, job_id: str) -> None:
        """Wait until a job is gone."""
        until = time.monotonic() + PATIENCE
        while job_id in self.state()["order"]:
            assert time.monotonic() < until
            time.sleep(0.1)
