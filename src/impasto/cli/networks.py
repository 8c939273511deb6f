"""`impasto networks`: list, fetch and verify the networks."""

from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.arguments import QuietOption
from impasto.terminal.console import DONE, FAILED, print_result
from impasto.terminal.interrupts import Interrupts
from impasto.terminal.progress import show_download

networks: App = App(
    name="networks",
    help="List, fetch and verify the neural networks. They are stored in IMPASTO_CACHE, or else in your cache folder.",
)


@networks.command(name="list")
def list_networks() -> int:
    """List the networks: name, state, licence and file."""
    from impasto.network import registry

    for network in registry.list_statuses():
        size = f", {network.entry.download_bytes / 1e6:.0f} MB to fetch" if network.state == "not fetched" else ""
        print_result(f"{network.entry.name:<18} {network.state}{size}; licence: {network.entry.licence}")
        print_result(f"    {network.entry.description}\n    {network.path}")
    return DONE


@networks.command
def fetch(
    name: Annotated[str, Parameter(help="the network's name, such as vgg19-torchvision")],
    /,
    *,
    quiet: QuietOption = False,
) -> int:
    """Download a network's weights into the cache, if they are not there yet."""
    from impasto.network import registry

    with Interrupts(), show_download(name, quiet) as progress:
        path = registry.fetch_network(name, progress=progress)
    print_result(str(path) if quiet else f"{name}: {path}")
    return DONE


@networks.command
def verify(
    name: Annotated[str | None, Parameter(help="the network's name; all downloaded networks if not given")] = None, /
) -> int:
    """Compare weights on disk with their SHA-256; exits with 1 if they are damaged, or NAME is missing."""
    from impasto.network import registry

    sound = True
    for network in registry.list_statuses() if name is None else [registry.check_network(name)]:
        print_result(f"{network.entry.name}: {network.detail or network.state}")
        # A network that was never downloaded is a failure only if it was named.
        is_optional = name is None and network.state in ("not fetched", "not installed")
        sound = sound and (network.state in ("embedded", "installed", "cached") or is_optional)
    return DONE if sound else FAILED
