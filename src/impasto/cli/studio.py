"""`impasto studio`: open the page on this machine."""

import ipaddress
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import platformdirs
from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.errors import ImpastoError, UsageError, describe_install
from impasto.terminal.console import DONE, print_result
from impasto.terminal.interrupts import Interrupts

_Option = partial(Parameter, group=Group("Studio", sort_key=0))
PASSWORD_VARIABLE = "IMPASTO_STUDIO_PASSWORD"
MIN_PASSWORD_LENGTH = 8
PASSWORD_HELP = f"a file whose first line is the password; {PASSWORD_VARIABLE} does as well. Any user name goes with it"


def studio(
    *,
    host: Annotated[
        str, _Option(help="address to listen on; one that other machines reach needs a password")
    ] = "127.0.0.1",
    port: Annotated[int, _Option(validator=Number(gte=0, lte=65535), help="0: any free port")] = 7860,
    folder: Annotated[
        Path | None, _Option(help="the folder for pictures and recipes", show_default="the user's data folder")
    ] = None,
    max_gigabytes: Annotated[float, _Option(validator=Number(gt=0.1), help="maximum size of the folder")] = 5.0,
    password_file: Annotated[Path | None, _Option(show_default=False, help=PASSWORD_HELP)] = None,
    open_to_all: Annotated[
        bool, _Option(negative=(), show_default=False, help="listen on another address without a password")
    ] = False,
    host_name: Annotated[
        list[str] | None, _Option(show_default=False, help="another host name of this machine")
    ] = None,
) -> int:
    """Paint in a browser: opens a page on this machine and prints its address. Ctrl-C ends it.

    A picture that is being painted then is paused. It needs the extra impasto[studio].
    """
    password = read_password(password_file)
    check_address(host, password, open_to_all)
    folder = folder or default_folder()
    for needed in ("fastapi", "uvicorn"):
        if find_spec(needed) is None:
            raise ImpastoError(f"The studio needs {needed}: {describe_install('studio')}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"`folder` {folder} can't be made: {error.strerror or error}", setting="folder") from None
    with Interrupts():
        from impasto.studio.security import local_host_names
        from impasto.studio.server import serve

        serve(
            folder,
            host=host,
            port=port,
            max_bytes=int(max_gigabytes * 1e9),
            hosts=local_host_names(*(host_name or ()), host),
            password=password,
            on_start=print_address,
        )
    return DONE


def read_password(file: Path | None) -> str | None:
    """Read the password from a file or the environment; None if there is none."""
    if file is None:
        password = os.environ.get(PASSWORD_VARIABLE)
    else:
        try:
            password = (file.read_text(encoding="utf-8").splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"`password_file` {file} can't be read: {error}", setting="password_file") from None
    if password is not None and len(password) < MIN_PASSWORD_LENGTH:
        raise UsageError(f"The password is too short: {MIN_PASSWORD_LENGTH} letters at least.")
    return password


def check_address(host: str, password: str | None, open_to_all: bool) -> None:
    """Raise UsageError for an address that others reach, unless a password or `open_to_all` allows it."""
    if not (is_loopback(host) or password or open_to_all):
        raise UsageError(
            f"`host` {host}: others could reach the studio there. Give it a password with `password_file` or "
            f"{PASSWORD_VARIABLE}, or allow it with `open_to_all`",
            setting="host",
        )


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, which no other reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_folder() -> Path:
    """Return the studio's folder if none is given."""
    return platformdirs.user_data_path("impasto") / "studio"


def print_address(address: tuple[str, int]) -> None:
    """Print where the page is."""
    host, port = address[0], address[1]
    shown = f"[{host}]" if ":" in host else host
    print_result(f"The studio is open at http://{shown}:{port}/ (Ctrl-C ends it)")
