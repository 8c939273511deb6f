"""`impasto networks`: list, fetch and verify the networks that see pictures."""

from typing import Annotated

from cyclopts import App, Parameter

from impasto.apps.interrupts import Interrupts
from impasto.apps.options import Quiet
from impasto.apps.progress import download
from impasto.apps.terminal import DONE, FAILED, answer

networks = App(
    name="networks",
    help="Look after the networks that see pictures. They are kept in IMPASTO_CACHE or else the user's cache folder.",
)


@networks.command(name="list")
def list_networks() -> int:
    """List the networks: where each is, whether it is there, its licence."""
    from impasto.perception import weights

    for it in weights.states():
        size = f", {it.row.bytes / 1e6:.0f} MB to fetch" if it.state == "not fetched" else ""
        answer(f"{it.row.name:<8} {it.state}{size}; licence: {it.row.licence}")
        answer(f"         {it.row.description}\n         {it.path}")
    return DONE


@networks.command
def fetch(
    name: Annotated[str, Parameter(help="of the network, such as vgg19")],
    /,
    *,
    quiet: Quiet = False,
) -> int:
    """Fetch a network's weights into the cache, unless they are there."""
    from impasto.perception import weights

    with Interrupts(), download(name, quiet) as progress:
        path = weights.fetch(name, progress=progress)
    answer(str(path) if quiet else f"{name}: {path}")
    return DONE


@networks.command
def verify(
    name: Annotated[str | None, Parameter(help="of one network; all that are there if not given")] = None, /
) -> int:
    """Compare weights on disk with their full digest; exits with 1 if they are damaged or, being named, not there."""
    from impasto.perception import weights

    sound = True
    for it in weights.states() if name is None else [weights.verify(name)]:
        answer(f"{it.row.name}: {it.detail or it.state}")
        # Of all networks, those that nobody fetched are no fault; of one that was named, it is.
        sound = sound and (it.state in ("embedded", "cached") or (name is None and it.state == "not fetched"))
    return DONE if sound else FAILED
