"""What painters share from one picture to the next: networks, styles, and paintings as read."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from impasto.images.demand import ReadingDemand
from impasto.images.image import Image
from impasto.images.output import file_signature
from impasto.images.read import read_image
from impasto.network import registry
from impasto.network.download import DownloadProgress, digest_file
from impasto.network.vgg import Network
from impasto.painting.device import limit_primitive_cache
from impasto.painting.styles import StyleCache
from impasto.settings.model import Settings

MAX_NETWORKS = 3
MAX_PAINTING_BYTES = 256_000_000  # of all cached paintings together

Kept = TypeVar("Kept")


class ModelCache:
    """Networks, styles and paintings that the next painter can use again; a file that changed is read again.

    Example: start_job(job, cache=cache)
    """

    def __init__(self) -> None:
        self.styles: StyleCache = StyleCache()
        self._networks: OrderedDict[Any, Network] = OrderedDict()
        self._pictures: OrderedDict[Any, Image] = OrderedDict()

    def load_network(
        self,
        name: str,
        settings: Settings,
        cut: str,
        device: torch.device,
        precision: torch.dtype,
        progress: DownloadProgress | None,
    ) -> Network:
        """Return a network by its name or file, cut after the layer `cut`, on a device.

        Errors: as `registry.load_network`.
        """

        limit_primitive_cache()

        def load() -> Network:
            network = registry.load_network(
                name,
                layout=settings.layout if name == settings.network else "auto",
                cut=cut,
                pooling=settings.pooling,
                rounding="up" if settings.pooling_ceil_mode else "down",
                scaling=settings.input_scaling,
                padding=settings.padding,
                keep_activation_size=settings.pooling_gain,
                progress=progress,
            ).to(device, precision)
            return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

        pooled = (settings.pooling, settings.pooling_ceil_mode, settings.pooling_gain)
        how = (settings.layout, cut, *pooled, settings.input_scaling, settings.padding, device, precision)
        file = None if name in registry.REGISTRY else file_signature(Path(name).expanduser())
        network = _get_or_make(self._networks, (name, file, *how), load)
        while len(self._networks) > MAX_NETWORKS:
            self._networks.popitem(last=False)
        return network

    def read_painting(self, path: Path, demand: ReadingDemand) -> Image:
        """Return a painting as it was read, from this file or a copy; at least the last one stays cached.

        Errors: as read_image.
        """
        try:
            digest = digest_file(path)
        except OSError:
            digest = ""  # reading it reports the error
        picture = _get_or_make(self._pictures, (digest, demand), lambda: read_image(path, demand=demand))
        while len(self._pictures) > 1 and sum(it.rgb.nbytes for it in self._pictures.values()) > MAX_PAINTING_BYTES:
            self._pictures.popitem(last=False)
        notes = tuple(note.replace(str(picture.path), str(path)) for note in picture.notes)
        return replace(picture, path=path, notes=notes)


def _get_or_make(kept: OrderedDict[Any, Kept], key: Any, make: Callable[[], Kept]) -> Kept:
    """Return the cached value of a key, or make it; it becomes the most recently used."""
    found = kept.pop(key) if key in kept else make()
    kept[key] = found
    return found
