"""What can go wrong, said to a person: every message names what was wrong, where, and what to do."""


class ImpastoError(Exception):
    """Something failed for a reason that the user can read; the command line exits with 1."""


class UsageError(ImpastoError, ValueError):
    """A setting or argument is wrong; the command line exits with 2."""


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
