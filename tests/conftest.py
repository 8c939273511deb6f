"""What the tests of painting share: a tiny chance network, small pictures, settings that a test spells out."""

import math
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import safetensors.torch
import torch
from studio_process import Outside, Studio
from torch import Tensor
from torch.nn.functional import interpolate

from impasto.network.vgg import Network
from impasto.painting.objective import Objective, list_taps
from impasto.painting.painter import Painter
from impasto.painting.prepare import Prepared
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleCache, StyleInput, blend_styles, capture_style
from impasto.settings.model import Settings
from impasto.workers.messages import Event, Task
from impasto.workers.worker import Worker

WIDTHS = (4, 6, 8, 8, 8)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no browser here: apt-get install chromium, or playwright install chromium"

# How long an example takes says nothing on a machine that is busy with other work.
hypothesis.settings.register_profile("impasto", deadline=None)
hypothesis.settings.load_profile("impasto")

# A shell has what it starts in the background ignore Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nothing that decides what is painted is left to the defaults: those are free to change.
SPELT_OUT: dict[str, Any] = {
    "size": 40,
    "seed": 0,
    "init": "photo",
    "content_weight": 1.0,
    "style_weight": 1.0,
    "style_size": 1.0,
    "style_blend": (),
    "views": (1.0,),
    "tv_weight": 0.0,
    "range_weight": 0.0,
    "content_taps": {"relu3_1": 1.0},
    "structure_weight": 0.0,
    "style_taps": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0},
    "content_loss": "relative",
    "style_loss": "gram",
    "pooling": "max",
    "pooling_gain": True,
    "padding": "replicate-first",
    "device": "cpu",
    "precision": "float32",
    "optimizer": "adam",
    "start_size": 40,
    "scale_step": 2.0,
    "steps": 5,
    "later_steps": 3,
    "learning_rate": 0.02,
    "ema_decay": 0.0,
}


def make_network(dtype: torch.dtype = torch.float32, **options: Any) -> Network:
    """Draw a tiny network by chance whose activations neither vanish nor explode."""
    chance = torch.Generator().manual_seed(5)
    network = Network(WIDTHS, **options)
    for parameter in network.parameters():
        size = math.sqrt(2 / parameter[0].numel()) if parameter.ndim > 1 else 0.1
        parameter.data = (torch.randn(parameter.shape, generator=chance) * size).to(dtype)
    return network.requires_grad_(False).eval()


def make_picture(width: int, height: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw soft patches of colour with a little grain."""
    chance = torch.Generator().manual_seed(seed)
    patches = interpolate(torch.rand(1, 3, 5, 5, generator=chance), (height, width), mode="bilinear")
    return (0.9 * patches + 0.1 * torch.rand(1, 3, height, width, generator=chance)).to(dtype)


def format_option(value: Any) -> str:
    """Write a setting's value as on the command line."""
    if isinstance(value, dict):
        return ",".join(f"{name}:{weight}" for name, weight in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def make_settings(**chosen: Any) -> Settings:
    """Spell out all settings, those `chosen` as they are given."""
    return Settings(**{**SPELT_OUT, "coarse_taps": {"relu3_1": 1.0}, "content_colors": "photo", **chosen})


def build_painter(
    network: Network,
    settings: Settings,
    photo: StyleInput | None,
    paintings: Sequence[StyleInput],
    initial_picture: Tensor | None = None,
    styles: StyleCache | None = None,
) -> Painter:
    """Make a painter of what is there already, which can be steered with the same paintings."""
    prepared = Prepared(
        network, settings, paintings, initial_picture, styles or StyleCache(), build_paintings=lambda _: paintings
    )
    return Painter(prepared, photo)


def make_objective(
    network: Network, settings: Settings, photo: StyleInput, paintings: Sequence[StyleInput]
) -> Objective:
    """Aim at a photo's content and at the blended style of paintings, all over the canvas."""
    styles = [capture_style(network, painting, list_taps(settings)) for painting in paintings]
    return Objective(
        network, settings, photo, [StyleRegion(blend_styles(styles, [painting.weight for painting in paintings]))]
    )


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """A command that was interrupted ignores further signals, and processes started later would inherit that."""
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@contextmanager
def limit_file_size(count: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes, as on a full disk."""
    import resource  # which Windows lacks

    handler, before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A batch paints in this process, picture by picture: for tests of all but its workers, which start slowly."""
    threads = torch.get_num_threads()

    def run_tasks(tasks: Sequence[Task], *_: object) -> Iterator[Event]:
        worker = Worker()
        for task in tasks:
            yield from worker.paint(task, lambda: False)

    monkeypatch.setattr("impasto.batch.batch_run.run_tasks", run_tasks)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network as a user's own file."""
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    weights = {name.removeprefix("convs."): value for name, value in make_network().state_dict().items()}
    safetensors.torch.save_file(weights, path, metadata={"layout": "impasto"})
    return path


@pytest.fixture(scope="session")
def open_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A running studio, one for all tests; in all that time it asks no other machine for anything."""
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        pytest.skip("needs FastAPI and uvicorn: pip install 'impasto[studio]'")
    outside = Outside()
    opened = Studio(tmp_path_factory.mktemp("studio") / "studio", environment=outside.environment)
    yield opened
    opened.close()
    outside.close()
    assert outside.knocks == []


@pytest.fixture
def studio(open_studio: Studio) -> Iterator[Studio]:
    """The running studio, with nothing in it when the test ends."""
    yield open_studio
    open_studio.clear()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as player:
        path = CHROMIUM or player.chromium.executable_path
        if not Path(path).exists():
            pytest.skip(NO_BROWSER)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = player.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()
