"""Downloading one file of known size and digest; nothing else in the program opens a connection."""

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

CHUNK_BYTES = 1 << 20  # bytes
TIMEOUT_SECONDS = 30.0  # seconds without a byte
MAX_RESUMPTIONS = 50  # as long as each brings bytes


def download_file(url: str, partial: Path, size: int, sha256: str, progress: DownloadProgress | None = None) -> None:
    """Bring `partial` to the whole file at `url`, verified; what is there already is resumed.

    `size` is in bytes. An interruption (Ctrl-C too) keeps `partial` for the next call; wrong bytes remove it.

    Errors: ConnectionError when the server can't be reached or stops; NetworkError when the bytes are wrong, naming
    both digests, or when `partial` can't be written.
    """
    for _ in range(MAX_RESUMPTIONS):
        if (have := _file_size(partial)) >= size:
            break
        try:
            _download_rest(url, partial, have, size, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
                raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
            partial.unlink()  # the server's file is not the one that this is a part of: from the start again
        except (OSError, HTTPException) as error:
            if _file_size(partial) <= have:
                raise ConnectionError(_describe_failure(error)) from error
        else:
            if _file_size(partial) <= have:
                raise ConnectionError(f"the server stopped after {_file_size(partial)} of {size} bytes")
    if _file_size(partial) < size:
        raise ConnectionError(f"the connection broke {MAX_RESUMPTIONS} times")
    try:
        verify_file(partial, size, sha256)
    except NetworkError:
        partial.unlink()
        raise


def verify_file(path: Path, size: int, sha256: str) -> None:
    """Compare a file's length in bytes and its full sha256; NetworkError names both digests when they differ."""
    found, digest = _file_size(path), digest_file(path)
    if (found, digest) != (size, sha256):
        raise NetworkError(
            f"{path} is not the file that was published: it has {found} bytes and sha256 {digest}; "
            f"expected are {size} bytes and sha256 {sha256}."
        )


def digest_file(path: Path) -> str:
    """Return a file's sha256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_rest(url: str, partial: Path, have: int, size: int, progress: DownloadProgress | None) -> None:
    """Ask for what is missing and append it, until the end, one byte too many, or the connection breaks."""
    request = urllib.request.Request(url, headers={"User-Agent": "impasto"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise ConnectionError("the server answers with another range of the file than the one asked for")
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
