"""`impasto networks`: list, fetch and verify the networks that see pictures."""

from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.arguments import QuietOption
from impasto.terminal.console import DONE, FAILED, print_result
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import show_download

networks = App(
    name="networks",
    help="Look after the networks that see pictures. They are kept in IMPASTO_CACHE or else the user's cache folder.",
)


@networks.command(name="list")
def list_networks() -> int:
    """List the networks: where each is, whether it is there, its licence."""
    from impasto.network import registry

    for it in registry.list_statuses():
        size = f", {it.entry.download_bytes / 1e6:.0f} MB to fetch" if it.state == "not fetched" else ""
        print_result(f"{it.entry.name:<8} {it.state}{size}; licence: {it.entry.licence}")
        print_result(f"         {it.entry.description}\n         {it.path}")
    return DONE


@networks.command
def fetch(
    name: Annotated[str, Parameter(help="of the network, such as vgg19")],
    /,
    *,
    quiet: QuietOption = False,
) -> int:
    """Fetch a network's weights into the cache, unless they are there."""
    from impasto.network import registry

    with Interrupts(), show_download(name, quiet) as progress:
        path = registry.fetch_network(name, progress=progress)
    print_result(str(path) if quiet else f"{name}: {path}")
    return DONE


@networks.command
def verify(
    name: Annotated[str | None, Parameter(help="of one network; all that are there if not given")] = None, /
) -> int:
    """Compare weights on disk with their full digest; exits with 1 if they are damaged or, being named, not there."""
    from impasto.network import registry

    sound = True
    for it in registry.list_statuses() if name is None else [registry.check_network(name)]:
        print_result(f"{it.entry.name}: {it.detail or it.state}")
        # Of all networks, those that nobody fetched are no fault; of one that was named, it is.
        sound = sound and (it.state in ("embedded", "cached") or (name is None and it.state == "not fetched"))
    return DONE if sound else FAILED
