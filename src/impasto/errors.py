"""What can go wrong. Every message is for a person: it says what was wrong, with which file or setting, what to do."""

import re
from collections.abc import Callable


class ImpastoError(Exception):
    """Something failed for a reason that the user can read; the command line exits with 1."""


class UsageError(ImpastoError, ValueError):
    """A setting or argument is wrong; the command line exits with 2.

    `setting` is the name of the setting at fault, as in Settings: by default the one that the message begins with, or
    "" where it begins with none. Names of settings stand in backticks ("`style_size` is too large"); each front end
    writes them its own way (`rename_settings`).

    Example: raise UsageError("`size` must be at least 16 pixels.")
    """

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        named = re.match(r"`([a-z][a-z0-9_]*)`", message)
        self.setting: str = setting or (named[1] if named else "")


class PictureError(ImpastoError):
    """A picture can't be read or written."""


class RecipeError(ImpastoError):
    """A recipe can't be read, or what it was painted from is not found."""


class CheckpointError(ImpastoError):
    """A checkpoint can't be read, or does not fit what is to be painted."""


class NetworkError(ImpastoError):
    """A network's weights can't be fetched, verified or understood."""


class DivergedError(ImpastoError):
    """The painting diverged and could not be brought back; `picture` is the last good one."""

    def __init__(self, message: str, picture: object = None) -> None:
        super().__init__(message)
        self.picture = picture


def describe_install(extra: str) -> str:
    """Say how to install what an extra brings: from a clone, as impasto is not on the package index.

    Example: describe_install("film") == "pip install '.[film]' in a clone"
    """
    return f"pip install '.[{extra}]' in a clone"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out.

    torch, which takes seconds to import, is not imported for this: its own error is known by its name. Its allocators
    on a CPU and on Apple's MPS raise a plain RuntimeError.
    """
    words = str(error)
    said = any(each in words for each in ("can't allocate memory", "not enough memory", "MPS backend out of memory"))
    is_named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return is_named or (isinstance(error, RuntimeError) and said)


def rename_settings(message: str, rename: Callable[[str], str]) -> str:
    """Return a message with each name in backticks replaced by what `rename` makes of it.

    Example: rename_settings("`style_size` is too large", lambda name: "--" + name.replace("_", "-"))
    """
    return re.sub(r"`([a-z][a-z0-9_]*)`", lambda found: rename(found[1]), message)
