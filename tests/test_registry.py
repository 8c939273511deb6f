"""Weights: fetched whole or not at all, verified at every load, understood in every layout that people have."""

import hashlib
import multiprocessing
import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from impasto.errors import NetworkError, UsageError
from impasto.network import download as fetching
from impasto.network import registry
from impasto.network.formats import LAYOUTS_BY_DIGEST, arrange_weights
from impasto.network.vgg import VGG16_DEPTHS, VGG19_DEPTHS, plan_layers

WIDTHS = (4, 5, 6, 7, 8)
SEEING = {"cut": None, "pooling": "max", "padding": "zero"}
TAPS = ("conv1_1", "relu1_1", "relu2_1", "relu5_1")


def make_weights(depths: tuple[int, ...] = VGG19_DEPTHS, seed: int = 0) -> dict[str, Tensor]:
    """Draw {`convX_Y.weight`, `convX_Y.bias`} for a tiny VGG."""
    chance = torch.Generator().manual_seed(seed)
    drawn: dict[str, Tensor] = {}
    channels = 3
    for layer in plan_layers(depths):
        if layer.startswith("conv"):
            width = WIDTHS[int(layer[4]) - 1]
            drawn[f"{layer}.weight"] = torch.randn(width, channels, 3, 3, generator=chance) * (2 / channels / 9) ** 0.5
            drawn[f"{layer}.bias"] = torch.randn(width, generator=chance) * 0.1
            channels = width
    return drawn


def number(named: dict[str, Tensor], depths: tuple[int, ...] = VGG19_DEPTHS) -> dict[str, Tensor]:
    """Rename `convX_Y` to torchvision's `features.N`, with a classifier behind."""
    places = {layer: at for at, layer in enumerate(plan_layers(depths))}
    numbered = OrderedDict(
        (f"features.{places[conv]}.{part}", tensor)
        for (conv, part), tensor in ((name.split("."), tensor) for name, tensor in named.items())
    )
    numbered["classifier.0.weight"] = torch.zeros(50, 50)
    numbered["classifier.0.bias"] = torch.zeros(50)
    return numbered


def as_caffe(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Express a network for ImageNet-normalised RGB as one for BGR, 0 to 255, mean subtracted: same features inside."""
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
    caffe_mean = torch.tensor([0.48501961, 0.45795686, 0.40760392], dtype=torch.float64)
    kernel = named["conv1_1.weight"].double()
    moved = dict(named)
    # (rgb - mean) / std = (rgb - caffe_mean) * 255 / (255 std) + (caffe_mean - mean) / std
    moved["conv1_1.weight"] = (kernel / (255 * std).view(1, 3, 1, 1)).flip(1).float()
    shift = torch.einsum("oikl,i->o", kernel, (caffe_mean - mean) / std)
    moved["conv1_1.bias"] = (named["conv1_1.bias"] + shift).float()
    return moved


def picture(size: int = 48) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(9))


class Server(ThreadingHTTPServer):
    """Serves one file; can drop the connection after some bytes, ignore Range, or tell lies."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.drops: list[int] = []  # bytes after which each of the next connections breaks
        self.ranges = True
        self.refuse_ranges = False
        self.status = 200
        self.open = threading.Event()  # nothing is answered before it is set
        self.open.set()
        self.asked: list[str | None] = []  # the Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/models/tiny-vgg19.pth"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        self.server.open.wait(60)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        if asked and self.server.refuse_ranges:
            self.send_error(416)
            return
        content, start = self.server.content, 0
        if asked and self.server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.server.drops.pop(0) if self.server.drops else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests out of the user's own cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("IMPASTO_CACHE", str(folder))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    # In the older format, as torchvision's own file.
    torch.save(number(make_weights()), tmp_path / "made.pth", _use_new_zipfile_serialization=False)
    server = Server((tmp_path / "made.pth").read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def row(server: Server, monkeypatch: pytest.MonkeyPatch) -> registry.RegistryEntry:
    """A network that the server publishes, in the registry; its cache is empty."""
    row = registry.RegistryEntry(
        name="tiny",
        description="made for the tests",
        licence="MIT",
        layout="torchvision",
        sha256=hashlib.sha256(server.content).hexdigest(),
        download_bytes=len(server.content),
        url=server.url,
    )
    monkeypatch.setitem(registry.REGISTRY, "tiny", row)
    return row


def visible(folder: Path) -> list[str]:
    """Name what is in a folder, but for the empty lock file."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".tiny.lock")


# Fetching


def test_fetch_reports_progress_and_keeps_convolutions(
    row: registry.RegistryEntry, server: Server, cache: Path
) -> None:
    shown: list[tuple[int, int]] = []
    path = registry.fetch_network("tiny", progress=lambda done, total: shown.append((done, total)))

    assert shown[0] == (0, row.download_bytes)
    assert shown[-1] == (row.download_bytes, row.download_bytes)
    assert shown == sorted(shown)
    assert visible(cache) == [f"tiny-{row.sha256[:8]}.safetensors", f"tiny-{row.sha256[:8]}.safetensors.sha256"]
    kept = safetensors.torch.load_file(path)
    made = make_weights()
    assert kept.keys() == made.keys()
    assert all(torch.equal(kept[name], made[name]) for name in made)
    digest, name = Path(f"{path}.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    registry.fetch_network("tiny")
    assert len(server.asked) == 1


@pytest.mark.usefixtures("row")
def test_status_writes_nothing(cache: Path) -> None:
    assert registry.get_cache_folder() == cache
    assert [state.entry.name for state in registry.list_statuses()] == ["slim", "vgg19", "vgg19-torchvision", "tiny"]
    assert registry.check_network("tiny").state == "not fetched"
    assert not cache.exists()


def test_default_cache_is_the_platform_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMPASTO_CACHE")
    assert registry.get_cache_folder().name.lower() == "impasto"


def test_broken_connection_is_resumed(row: registry.RegistryEntry, server: Server) -> None:
    server.drops = [row.download_bytes // 2, 1000]
    registry.fetch_network("tiny")
    assert server.asked == [None, f"bytes={row.download_bytes // 2}-", f"bytes={row.download_bytes // 2 + 1000}-"]
    assert registry.check_network("tiny").state == "cached"


def test_server_without_ranges_restarts(row: registry.RegistryEntry, server: Server) -> None:
    server.drops, server.ranges = [row.download_bytes // 2], False
    registry.fetch_network("tiny")
    assert registry.check_network("tiny").state == "cached"


def test_refused_range_restarts(row: registry.RegistryEntry, server: Server) -> None:
    server.drops, server.refuse_ranges = [row.download_bytes // 2], True
    registry.fetch_network("tiny")
    assert server.asked == [None, f"bytes={row.download_bytes // 2}-", None]
    assert registry.check_network("tiny").state == "cached"


def test_partial_file_is_kept_and_resumed(row: registry.RegistryEntry, server: Server, cache: Path) -> None:
    server.drops = [1000, 0]
    with pytest.raises(NetworkError, match=rf"Can't fetch {server.url}.*1000 of {row.download_bytes} bytes"):
        registry.fetch_network("tiny")
    assert visible(cache) == ["tiny-vgg19.pth.part"]
    assert registry.check_network("tiny").state == "not fetched"

    registry.fetch_network("tiny")
    assert server.asked[-1] == "bytes=1000-"


@pytest.mark.usefixtures("row")
def test_endlessly_breaking_server_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_RESUMPTIONS", 3)
    server.drops = [10] * 9
    with pytest.raises(NetworkError, match="the connection broke 3 times"):
        registry.fetch_network("tiny")


@pytest.mark.usefixtures("row")
def test_ctrl_c_keeps_the_partial_file(cache: Path) -> None:
    def interrupt(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.fetch_network("tiny", progress=interrupt)
    assert visible(cache) == ["tiny-vgg19.pth.part"]
    registry.fetch_network("tiny")
    assert registry.check_network("tiny").state == "cached"


@pytest.mark.parametrize("resumed", [False, True])
def test_wrong_byte_names_both_digests(row: registry.RegistryEntry, server: Server, cache: Path, resumed: bool) -> None:
    wrong = bytearray(server.content)
    wrong[len(wrong) // 2] ^= 1
    server.content = bytes(wrong)
    server.drops = [1000] if resumed else []
    with pytest.raises(NetworkError) as caught:
        registry.fetch_network("tiny")
    assert row.sha256 in str(caught.value)
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert visible(cache) == []


def test_file_of_another_length_is_refused(row: registry.RegistryEntry, server: Server, cache: Path) -> None:
    server.content += b"!"
    with pytest.raises(
        NetworkError, match=rf"offers a file of {row.download_bytes + 1} bytes where {row.download_bytes} are expected"
    ):
        registry.fetch_network("tiny")
    assert visible(cache) == []


def test_no_connection_names_address_and_remedies(
    row: registry.RegistryEntry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/tiny-vgg19.pth"
    monkeypatch.setitem(registry.REGISTRY, "tiny", replace(row, url=url))
    with pytest.raises(NetworkError) as caught:
        registry.load_network("tiny", **SEEING)
    for part in (url, str(cache / "tiny-vgg19.pth"), "by hand", "set `network` to slim", "refused"):
        assert part in str(caught.value)


@pytest.mark.usefixtures("row")
def test_http_error_is_named(server: Server) -> None:
    server.status = 404
    with pytest.raises(NetworkError, match=r"HTTP 404 Not Found.*set `network` to slim"):
        registry.fetch_network("tiny")


def test_silent_server_times_out(row: registry.RegistryEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_SECONDS", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/tiny-vgg19.pth"
        monkeypatch.setitem(registry.REGISTRY, "tiny", replace(row, url=url))
        with pytest.raises(NetworkError, match=r"timed out.*set `network` to slim"):
            registry.fetch_network("tiny")


@pytest.mark.usefixtures("row")
def test_file_put_there_by_hand_is_used(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "tiny-vgg19.pth").write_bytes(server.content)
    registry.load_network("tiny", **SEEING)
    assert server.asked == []
    assert (cache / "tiny-vgg19.pth").exists()  # it is the user's own


def test_wrong_file_put_there_by_hand_is_refused(row: registry.RegistryEntry, server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "tiny-vgg19.pth").write_bytes(server.content[:-1] + b"?")
    with pytest.raises(NetworkError, match=rf"(?s)tiny-vgg19.pth.*[0-9a-f]{{64}}.*{row.sha256}"):
        registry.fetch_network("tiny")


@pytest.mark.usefixtures("row")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_is_reported(cache: Path) -> None:
    cache.mkdir()
    (cache / "tiny-vgg19.pth.part").symlink_to("/dev/full")
    with pytest.raises(NetworkError, match=r"Can't write .*No space left.*IMPASTO_CACHE"):
        registry.fetch_network("tiny")


@pytest.mark.usefixtures("row")
def test_unwritable_cache_is_reported(cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(NetworkError, match=r"Can't write to .*cache.*IMPASTO_CACHE"):
        registry.fetch_network("tiny")


def fetch_elsewhere(row: registry.RegistryEntry, answers: Any) -> None:
    registry.REGISTRY[row.name] = row
    answers.put("ready")
    answers.put(registry.fetch_network(row.name).read_bytes())


@pytest.mark.slow
def test_two_processes_fetch_at_once(row: registry.RegistryEntry, server: Server) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=fetch_elsewhere, args=(row, answers))
    server.open.clear()
    process.start()
    assert answers.get(timeout=60) == "ready"
    threading.Timer(0.3, server.open.set).start()  # until then, neither gets what it asks for
    here = registry.fetch_network("tiny").read_bytes()
    assert answers.get(timeout=60) == here
    process.join(timeout=60)
    assert process.exitcode == 0
    assert len(server.asked) == 1  # who comes second waits and takes what the first one fetched


# Verifying


@pytest.mark.usefixtures("row")
def test_flipped_bit_in_the_cache_is_found() -> None:
    path = registry.fetch_network("tiny")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(NetworkError, match=r"damaged.*impasto networks fetch tiny") as caught:
        registry.load_network("tiny", **SEEING)
    assert hashlib.sha256(good).hexdigest() in str(caught.value)
    state = registry.check_network("tiny")
    assert (state.state, state.path) == ("damaged", path)
    assert "is damaged" in state.detail

    registry.fetch_network("tiny")
    assert registry.check_network("tiny").state == "cached"


@pytest.mark.usefixtures("row")
def test_network_without_digest_is_damaged() -> None:
    path = registry.fetch_network("tiny")
    Path(f"{path}.sha256").unlink()
    assert registry.check_network("tiny").state == "damaged"


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made slim.safetensors, as if it were inside the package."""
    monkeypatch.setattr(registry, "files", lambda _: tmp_path)
    path = tmp_path / "slim.safetensors"
    made = {name: tensor for name, tensor in make_weights().items() if name < "conv5_2"}
    path.write_bytes(safetensors.torch.save(made, metadata={"layout": "impasto"}))
    row = replace(registry.REGISTRY["slim"], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(registry.REGISTRY, "slim", row)
    return path


def test_embedded_network_needs_no_cache(embedded: Path, cache: Path) -> None:
    network = registry.load_network("slim", **SEEING)
    assert network.layers[-2:] == ["relu5_1", "pool5"]
    assert registry.check_network("slim").state == "embedded"
    assert registry.fetch_network("slim") == embedded
    assert registry.get_digest("slim") == hashlib.sha256(embedded.read_bytes()).hexdigest()
    assert not cache.exists()


@pytest.mark.parametrize("missing", [False, True])
def test_damaged_embedded_network_is_found(embedded: Path, missing: bool) -> None:
    if missing:
        embedded.unlink()
    else:
        embedded.write_bytes(embedded.read_bytes()[:-4] + b"\0\0\0\1")
    assert registry.check_network("slim").state == "damaged"
    for use in (lambda: registry.fetch_network("slim"), lambda: registry.load_network("slim", **SEEING)):
        with pytest.raises(NetworkError, match=r"slim.safetensors.*Install impasto again"):
            use()


@pytest.mark.skipif(set(registry.SLIM_SHA256) == {"0"}, reason="slim is still being trained")
def test_embedded_network_reaches_relu5_1() -> None:
    assert registry.check_network("slim").state == "embedded"
    assert "relu5_1" in registry.load_network("slim", **SEEING).layers


def test_registry_names_torchvision_weights() -> None:
    row = registry.REGISTRY["vgg19-torchvision"]
    assert row.url == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert (row.download_bytes, row.sha256[:8]) == (574_673_361, "dcbb9e9d")
    assert (
        registry.get_digest("vgg19-torchvision") == "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"
    )


# Layouts


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path, metadata)
    else:
        torch.save(tensors, path)
    return str(path)


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize(
    ("file", "layout", "express", "metadata"),
    [
        ("any.pth", "torchvision", number, None),
        ("vgg19-dcbb9e9d.pth", "auto", number, None),
        ("any.pth", "caffe", lambda made: number(as_caffe(made)), None),
        ("vgg19-d01eb7cb.pth", "auto", lambda made: number(as_caffe(made)), None),
        ("vgg_conv.pth", "auto", as_caffe, None),
        ("vgg_conv.pt", "gatys", as_caffe, None),
        ("any.pkl", "impasto", dict, None),
        ("any.safetensors", "auto", dict, {"layout": "impasto"}),
        ("any.safetensors", "auto", number, {"layout": "torchvision"}),
        ("any.safetensors", "caffe", lambda made: number(as_caffe(made)), None),
    ],
)
def test_layouts_give_equal_features(
    tmp_path: Path, file: str, layout: Any, express: Any, metadata: dict[str, str] | None
) -> None:
    check_equal_features(write(tmp_path / file, express(make_weights()), metadata), layout)


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "net.vgg."])
@pytest.mark.parametrize("express", [number, dict], ids=["numbered", "gatys"])
def test_weights_inside_a_checkpoint_are_read(tmp_path: Path, key: str, prefix: str, express: Any) -> None:
    inside = {prefix + name: tensor for name, tensor in express(make_weights()).items()}
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1}]}
    path = tmp_path / "any.ckpt"
    torch.save({"epoch": 3, "optimizer": optimizer, key: inside, "best": torch.zeros(1)}, path)
    layout = "torchvision" if express is number else "impasto"
    check_equal_features(str(path), layout)


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_features_alone_are_read(tmp_path: Path, prefix: str) -> None:
    numbered = number(make_weights()).items()
    alone = {prefix + name.removeprefix("features."): it for name, it in numbered if name.startswith("features.")}
    check_equal_features(write(tmp_path / "any.pth", alone), "torchvision")


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("layout", ["auto", "torchvision"])
def test_weights_of_timm_are_read(tmp_path: Path, layout: str) -> None:
    behind = {"pre_logits.fc1.weight": torch.zeros(4, 8, 7, 7), "head.fc.weight": torch.zeros(10, 4)}
    convs = {name: it for name, it in number(make_weights()).items() if name.startswith("features.")}
    check_equal_features(write(tmp_path / "any.safetensors", {**convs, **behind}), layout)


def check_equal_features(path: str, layout: Any) -> None:
    """Check that a file's network sees what the embedded one does."""
    # A border of zeros would be another gray in each normalization.
    seeing = {**SEEING, "padding": "replicate-first"}
    expected = registry.load_network("slim", **seeing)(picture(), TAPS)
    found = registry.load_network(path, layout=layout, **seeing)(picture(), TAPS)
    for tap in TAPS:
        torch.testing.assert_close(found[tap], expected[tap], rtol=1e-4, atol=1e-5)


def test_caffe_layouts_are_bgr(tmp_path: Path) -> None:
    made = {name: torch.zeros_like(tensor) for name, tensor in make_weights().items()}
    made["conv1_1.weight"][0, 0, 1, 1] = 1.0  # the first channel that comes in, nothing else
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16)

    numbered = write(tmp_path / "numbered.pth", number(made))
    rgb = registry.load_network(numbered, layout="torchvision", **SEEING)(red, ["conv1_1"])["conv1_1"][0, 0]
    bgr = registry.load_network(numbered, layout="caffe", **SEEING)(red, ["conv1_1"])["conv1_1"][0, 0]
    torch.testing.assert_close(rgb, torch.full((16, 16), (1 - 0.485) / 0.229))
    torch.testing.assert_close(bgr, torch.full((16, 16), -103.939), rtol=0, atol=1e-3)


def test_ambiguous_layout_must_be_given(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.pth", number(make_weights()))
    with pytest.raises(NetworkError, match=r"mine.pth.*set `layout` to torchvision .* or to caffe"):
        registry.load_network(path, **SEEING)


def test_file_digest_wins_over_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "vgg16-00b39a1b.pth", number(make_weights(VGG16_DEPTHS), VGG16_DEPTHS))
    assert registry.load_network(path, **SEEING).normalization.bgr
    monkeypatch.setitem(LAYOUTS_BY_DIGEST, registry.get_digest(path)[:8], "torchvision")
    assert not registry.load_network(path, **SEEING).normalization.bgr


@pytest.mark.parametrize("renamed", [False, True])
def test_vgg16_is_recognized(tmp_path: Path, renamed: bool) -> None:
    made = make_weights(VGG16_DEPTHS)
    path = write(tmp_path / "vgg16.pth", number(made, VGG16_DEPTHS) if renamed else made)
    network = registry.load_network(path, layout="torchvision" if renamed else "impasto", **SEEING)
    assert network.layers == plan_layers(VGG16_DEPTHS)
    torch.testing.assert_close(network.convs["conv5_3"].weight, made["conv5_3.weight"])
    with pytest.raises(UsageError, match=r"has no layer 'relu4_4'; it has conv1_1, relu1_1, .*conv5_3"):
        registry.load_network(path, layout="torchvision" if renamed else "impasto", **{**SEEING, "cut": "relu4_4"})


@pytest.mark.usefixtures("embedded")
def test_loaded_network_is_cut_and_frozen() -> None:
    network = registry.load_network("slim", cut="relu2_1", pooling="l2", padding="reflect", keep_activation_size=False)
    assert network.layers[-1] == "relu2_1"
    assert (network.pooling, network.padding, network.pool_gain) == ("l2", "reflect", 1.0)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_half_precision_files_are_read_as_float32(tmp_path: Path) -> None:
    path = write(tmp_path / "half.pth", {name: tensor.half() for name, tensor in make_weights().items()})
    assert {parameter.dtype for parameter in registry.load_network(path, **SEEING).parameters()} == {torch.float32}


def change(name: str, tensor: Tensor | None) -> dict[str, Tensor]:
    changed = {**make_weights()}
    if tensor is None:
        del changed[name]
    else:
        changed[name] = tensor
    return changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (change("conv3_2.weight", None), r"f.pth: conv3_2.weight \(6, 6, 3, 3\) is missing"),
        (change("conv3_2.bias", None), r"f.pth: conv3_2.bias \(6,\) is missing"),
        (change("conv1_1.weight", None), r"f.pth: conv1_1.weight .* is missing"),
        (change("conv2_2.scale", torch.ones(5)), r"conv2_2.scale \(5,\) is unexpected"),
        (change("conv6_1.weight", torch.ones(5)), r"conv6_1.weight \(5,\) is unexpected"),
        (
            change("conv2_2.weight", torch.ones(5, 5, 5, 5)),
            r"conv2_2.weight has shape \(5, 5, 5, 5\), .* \(5, 5, 3, 3\)",
        ),
        (change("conv1_1.weight", torch.ones(4, 1, 3, 3)), r"has shape \(4, 1, 3, 3\), expected is \(4, 3, 3, 3\)"),
        (change("conv1_1.weight", torch.tensor(1.0)), r"conv1_1.weight has shape \(\), expected is"),
        (change("conv2_2.bias", torch.ones(6)), r"conv2_2.bias has shape \(6,\), expected is \(5,\)"),
        (
            change("conv2_2.bias", torch.tensor([0, 0, 0, 0, torch.nan])),
            r"conv2_2.bias holds numbers that are not finite",
        ),
        (change("conv2_2.bias", torch.ones(5, dtype=torch.int8)), r"conv2_2.bias holds torch.int8"),
        (change("relu2_1_mix.weight", torch.ones(3, 5)), r"f.pth: relu2_1_mix.bias \(3,\) is missing"),
        (change("relu2_1_mix.weight", torch.ones(3, 4)), r"has shape \(3, 4\), expected is \(3, 5\)"),
        (change("relu2_1_mix.weight", torch.ones(3, 5, 1, 1)), r"has shape \(3, 5, 1, 1\), expected is \(3, 5\)"),
        (change("relu2_1_mix.weight", torch.tensor(1.0)), r"has shape \(\), expected is \(1, 5\)"),
        (change("relu2_1_mix.bias", torch.ones(3)), r"relu2_1_mix.bias \(3,\) is unexpected"),
        (change("conv2_1_mix.weight", torch.ones(3, 5)), r"f.pth: conv2_1_mix.bias \(3,\) is missing"),
        (change("conv6_1_mix.weight", torch.ones(3, 5)), r"conv6_1_mix.weight \(3, 5\) is unexpected"),
        (change("relu6_1_mix.weight", torch.ones(3, 8)), r"relu6_1_mix.weight \(3, 8\) is unexpected"),
        (change("bn1.running_mean", torch.ones(4)), r"batch normalization"),
        ({"layer1.0.weight": torch.ones(1)}, r"no VGG weights: layer1.0.weight instead of"),
        ({}, r"no VGG weights: no tensors"),
    ],
)
def test_wrong_tensors_are_refused(tmp_path: Path, changed: dict[str, Tensor], message: str) -> None:
    layout: Any = "impasto" if any("_mix." in name for name in changed) else "auto"
    with pytest.raises(NetworkError, match=message):
        registry.load_network(write(tmp_path / "f.pth", changed), layout=layout, **SEEING)


def add_mix(named: dict[str, Tensor], bias: Tensor | None = None) -> dict[str, Tensor]:
    mix = {"relu2_1_mix.weight": torch.eye(5)[:3], "relu2_1_mix.bias": torch.ones(3) if bias is None else bias}
    return {**named, **mix}


def test_mixes_are_read_in_the_impasto_layout_only(tmp_path: Path) -> None:
    made = add_mix(make_weights())
    path = write(tmp_path / "f.safetensors", made, {"layout": "impasto"})
    plain = registry.load_network(write(tmp_path / "plain.pth", make_weights()), layout="impasto", **SEEING)
    mixed = registry.load_network(path, **SEEING)
    found, expected = mixed(picture(), TAPS), plain(picture(), TAPS)
    torch.testing.assert_close(found["relu2_1"], expected["relu2_1"][:, :3] + 1)
    assert torch.equal(found["relu5_1"], expected["relu5_1"])

    for layout, named in (("gatys", made), ("torchvision", add_mix(number(make_weights())))):
        with pytest.raises(NetworkError, match=r"f: relu2_1_mix.weight \(3, 5\) is unexpected"):
            arrange_weights(named, layout, "f")


def test_wrong_mix_bias_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"f: relu2_1_mix.bias has shape \(5,\), expected is \(3,\)"):
        arrange_weights(add_mix(make_weights(), torch.ones(5)), "impasto", "f")
    with pytest.raises(NetworkError, match=r"f: relu2_1_mix.bias holds numbers that are not finite"):
        arrange_weights(add_mix(make_weights(), torch.full((3,), torch.nan)), "impasto", "f")


def test_mix_is_no_layer_to_cut_after(tmp_path: Path) -> None:
    path = write(tmp_path / "f.safetensors", add_mix(make_weights()), {"layout": "impasto"})
    with pytest.raises(UsageError, match=r"has no layer 'relu2_1_mix'; it has conv1_1, .*, pool5\.$") as refused:
        registry.load_network(path, **{**SEEING, "cut": "relu2_1_mix"})
    assert "mix" not in str(refused.value).partition("it has")[2]


def test_missing_convolution_is_no_vgg16() -> None:
    numbered = number(make_weights())
    del numbered["features.16.weight"]
    with pytest.raises(NetworkError, match=r"f: features.16.weight \(6, 6, 3, 3\) is missing"):
        arrange_weights(numbered, "torchvision", "f")


@pytest.mark.usefixtures("embedded")
def test_wrong_layout_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f.pth", make_weights())
    with pytest.raises(NetworkError, match=r"not in the layout caffe: it has conv1_1.weight"):
        registry.load_network(path, layout="caffe", **SEEING)
    with pytest.raises(UsageError, match=r"slim is in the layout impasto; `layout` caffe is for a file of your own"):
        registry.load_network("slim", layout="caffe", **SEEING)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1_1.weight": Bomb()}, r"f.pth holds more than weights \(posix.system\).*none of it was run"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), r"more than weights \(torch.nn.modules.*state_dict\(\)"),
        ([torch.ones(1)], r"holds a list, not a state_dict"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="another name for os.system")
def test_malicious_pickle_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NetworkError, match=message):
        registry.load_network(write(tmp_path / "f.pth", content), **SEEING)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("file", ["f.pth", "f.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", None])
def test_truncated_file_is_refused(tmp_path: Path, file: str, content: bytes | None) -> None:
    path = write(tmp_path / file, make_weights())
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(NetworkError, match=f"{file} is truncated or not a"):
        registry.load_network(path, **SEEING)


def test_unknown_files_and_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vgg.caffemodel").write_bytes(b"x")
    with pytest.raises(
        NetworkError, match=r"vgg.caffemodel is not a known kind of weights file.*\.pth, \.pt, \.pkl, \.safetensors"
    ):
        registry.load_network(str(tmp_path / "vgg.caffemodel"), **SEEING)
    for name in ("vgg20", str(tmp_path), str(tmp_path / "gone.pth")):
        with pytest.raises(UsageError, match=r"no network and no file .*slim, vgg19.*path of a VGG-16 or VGG-19"):
            registry.load_network(name, **SEEING)
    if os.name != "nt":
        with pytest.raises(
            UsageError, match=r"no file 'C:\\vgg\.pth': .*path of Windows.* in WSL it is /mnt/c/vgg\.pth"
        ):
            registry.load_network(r"C:\vgg.pth", **SEEING)
    for use in (registry.fetch_network, registry.check_network):
        with pytest.raises(UsageError, match=r"no network 'vgg20'; there are slim, vgg19"):
            use("vgg20")
