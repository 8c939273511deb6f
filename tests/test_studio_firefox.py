"""The studio's page in Firefox: its first picture. Everything else is tested in Chromium."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_process import PATIENCE, Studio

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
STAGE = "document.querySelector('.stage')"


class Firefox:
    """Firefox without a window, driven by its own protocol, Marionette: numbered commands of WebDriver as JSON."""

    def __init__(self, profile: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (profile / "user.js").write_text(f'user_pref("marionette.port", {port});\n')
        words = [str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self._connect(port) as opened:
            self._stream = opened.makefile("rwb")
        self._read()  # who it is
        self._number = 0
        self.send("NewSession")

    def _connect(self, port: int) -> socket.socket:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), PATIENCE)
            except OSError:
                assert time.monotonic() < until, "Firefox does not answer"
                time.sleep(0.1)

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._stream.read(1)
        return json.loads(self._stream.read(int(length[:-1])))

    def send(self, command: str, **parameters: Any) -> Any:
        """Send a command; return its value."""
        self._number += 1
        message = json.dumps([0, self._number, f"WebDriver:{command}", parameters]).encode()
        self._stream.write(b"%d:%b" % (len(message), message))
        self._stream.flush()
        _, _, error, value = self._read()
        assert error is None, error
        return value

    def close(self) -> None:
        """End Firefox."""
        self._stream.close()
        self.process.terminate()
        self.process.wait(PATIENCE)

    def run(self, script: str) -> Any:
        """Run the body of a function on the page; return what it returns."""
        return self.send("ExecuteScript", script=script, args=[])["value"]

    def click(self, selector: str) -> None:
        """Click an element."""
        (reference,) = self.send("FindElement", using="css selector", value=selector)["value"].values()
        self.send("ElementClick", id=reference)

    def wait_until(self, condition: str) -> None:
        """Wait until an expression is true on the page."""
        until = time.monotonic() + PATIENCE
        while not self.run(f"return {condition}"):
            assert time.monotonic() < until, condition
            time.sleep(0.1)


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    if not FIREFOX:
        pytest.skip("needs Firefox")
    opened = Firefox(tmp_path)
    yield opened
    opened.close()


@pytest.mark.browser
@pytest.mark.slow
def test_first_picture_appears_in_firefox(firefox: Firefox, studio: Studio) -> None:
    firefox.send("Navigate", url=studio.url)
    firefox.wait_until("document.querySelector('button[aria-label=coffee]') !== null")
    firefox.click("button[aria-label=coffee]")
    firefox.click("button[aria-label='The Scream']")
    firefox.wait_until(f"+{STAGE}.dataset.look >= 1 && document.querySelector('.frame > img').naturalWidth > 0")
    firefox.click("#paint")
    firefox.wait_until(f"{STAGE}.dataset.status === 'painting' && document.querySelector('progress').value > 0")
