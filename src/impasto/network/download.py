"""Download one file of known size and digest, resumed where it broke off; the only outgoing connection."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from io import FileIO
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

    Errors: ConnectionError where the server can't be reached or stops; NetworkError where the bytes are wrong, naming
    both digests, or where `partial` can't be written.
    """
    for _ in range(MAX_RESUMPTIONS):
        if (have := _file_size(partial)) >= size:
            break
        _resume(url, partial, have, size, progress)
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


def _resume(url: str, partial: Path, have: int, size: int, progress: DownloadProgress | None) -> None:
    """Try once to download the rest; raises ConnectionError where it brings no byte."""
    failure: Exception | None = None
    try:
        _download_rest(url, partial, have, size, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
        partial.unlink()  # it is a part of another file than the server's: from the start again
        return
    except (OSError, HTTPException) as error:
        failure = error
    if _file_size(partial) <= have:
        stopped = f"the server stopped after {_file_size(partial)} of {size} bytes"
        raise ConnectionError(_describe_failure(failure) if failure else stopped) from failure


def _download_rest(url: str, partial: Path, have: int, size: int, progress: DownloadProgress | None) -> None:
    """Request the missing bytes and append them, until the end, one byte too many, or the connection breaks."""
    request = urllib.request.Request(url, headers={"User-Agent": "impasto"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ConnectionError("the server answers with another range of the file than requested")
        if not resumed:
            have = 0  # the server ignores Range
        if response.length is not None and have + response.length != size:
            raise ConnectionError(
                f"the server offers a file of {have + response.length} bytes where {size} are expected"
            )
        with _open_partial(partial, resumed) as file:
            _copy_response(response, file, have, size, progress)


def _copy_response(
    response: HTTPResponse, file: FileIO, have: int, size: int, progress: DownloadProgress | None
) -> None:
    if progress:
        progress(have, size)
    while have <= size and (chunk := response.read1(CHUNK_BYTES)):
        try:
            file.write(chunk)
        except OSError as error:
            raise _cannot_write(file.name, error) from error
        have += len(chunk)
        if progress:
            progress(have, size)


def _open_partial(path: Path, append: bool) -> FileIO:
    try:
        return path.open("ab" if append else "wb", buffering=0)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: object, error: OSError) -> NetworkError:
    return NetworkError(
        f"Can't write {path}: {error.strerror}. Make room there, or name another folder in IMPASTO_CACHE."
    )


def _describe_failure(error: Exception) -> str:
    reason = getattr(error, "reason", error)  # urllib wraps the socket's own error
    return str(reason) or type(reason).__name__


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
