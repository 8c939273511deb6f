"""Download one file of known size and digest, resumed where it broke off; the only outgoing connection."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from impasto.errors import NetworkError

DownloadProgress = Callable[[int, int], None]  # bytes so far, bytes in all

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30.0  # without a byte
MAX_RESUMPTIONS = 50


def download_file(url: str, partial: Path, size: int, sha256: str, progress: DownloadProgress | None = None) -> None:
    """Complete `partial` to the whole file of `size` bytes at `url`, and verify it.

    A connection that breaks is resumed while it brings bytes. An interruption (Ctrl-C too) keeps `partial` for the next
    call; wrong bytes delete it.

    Errors: ConnectionError where the server can't be reached or stops; OSError where `partial` can't be written;
    NetworkError where the bytes are wrong, naming both digests.
    """
    for _ in range(MAX_RESUMPTIONS):
        if (have := _file_size(partial)) >= size:
            break
        try:
            _download_rest(url, partial, have, size, progress)
            problem = ConnectionError(f"the server stopped after {_file_size(partial)} of {size} bytes")
        except ConnectionError as error:
            problem = error
        if _file_size(partial) == have:
            raise problem
    if _file_size(partial) < size:
        raise ConnectionError(f"the connection broke {MAX_RESUMPTIONS} times")
    try:
        verify_file(partial, size, sha256)
    except NetworkError:
        partial.unlink()
        raise


def verify_file(path: Path, size: int, sha256: str) -> None:
    """Compare a file's length in bytes and its full sha256; raises NetworkError, which names both."""
    found, digest = _file_size(path), digest_file(path)
    if (found, digest) != (size, sha256):
        raise NetworkError(
            f"{path} is not the published file: it has {found} bytes and sha256 {digest}; "
            f"expected are {size} bytes and sha256 {sha256}."
        )


def digest_file(path: Path) -> str:
    """Return a file's sha256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_rest(url: str, partial: Path, have: int, size: int, progress: DownloadProgress | None) -> None:
    """Append the missing bytes to `partial`, until the end, more than `size`, or the connection breaks."""
    headers = {"User-Agent": "impasto"} | ({"Range": f"bytes={have}-"} if have else {})
    with _convert_errors(partial):
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    with response:
        is_resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if is_resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ConnectionError("the server answers with another range of the file than requested")
        have = have if is_resumed else 0  # some servers ignore Range
        if response.length is not None and have + response.length != size:
            raise ConnectionError(
                f"the server offers a file of {have + response.length} bytes where {size} are expected"
            )
        with partial.open("ab" if is_resumed else "wb", buffering=0) as file:
            while have <= size:
                if progress:
                    progress(have, size)
                with _convert_errors(partial):
                    chunk = response.read1(CHUNK_BYTES)
                if not chunk:
                    return
                file.write(chunk)
                have += len(chunk)


@contextmanager
def _convert_errors(partial: Path) -> Iterator[None]:
    """Raise ConnectionError in place of urllib's errors."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink(missing_ok=True)  # it is a part of another file than the server's
        raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)  # urllib wraps the socket's own error
        raise ConnectionError(str(reason) or type(reason).__name__) from error


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
