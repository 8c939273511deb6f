"""Write the page that paints in a browser, with all that it needs: python integrations/browser/export.py -o FOLDER"""

import argparse
import html
import shutil
import sys
import tarfile
from pathlib import Path

from impasto.errors import ImpastoError, UsageError
from impasto.images.collection import COLLECTION, CollectionPainting
from impasto.network.download import download_file
from impasto.network.registry import get_cache_folder

PAGE = Path(__file__).with_name("page")
ICON = Path(__file__).parents[2] / "src/impasto/studio/static/icon.svg"
FIRST_PAINTING = "starry_night"
RUNTIME = "onnxruntime-web-1.30.0.tgz"
RUNTIME_URL = f"https://registry.npmjs.org/onnxruntime-web/-/{RUNTIME}"
RUNTIME_BYTES = 33_106_585
RUNTIME_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write the page that paints in a browser, with all that it needs.")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="a new or empty folder")
    try:
        export(parser.parse_args().output)
    except ImpastoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def export(folder: Path) -> None:
    """Write the page, the model, ONNX Runtime Web and the paintings.

    Errors: UsageError for a folder that holds something; ImpastoError without onnx or the runtime, or where nothing can
    be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds something already: name a new or an empty folder.")
    try:
        from fast_model import build_model
    except ModuleNotFoundError as error:
        raise ImpastoError(f"This needs the package {error.name}: pip install {error.name}") from None
    runtime, model = fetch_runtime(), build_model().SerializeToString()
    try:
        write_page(folder, model, runtime)
    except OSError as error:
        raise ImpastoError(f"The page can't be written to {folder}: {error}") from error


def write_page(folder: Path, model: bytes, runtime: Path) -> None:
    """Write the page's files and all that they load. Errors: OSError."""
    shutil.copytree(PAGE, folder, dirs_exist_ok=True)
    unpack_runtime(runtime, folder / "vendor")
    (folder / "model.onnx").write_bytes(model)
    shutil.copy(ICON, folder)
    (folder / "paintings").mkdir()
    for painting in COLLECTION.values():
        shutil.copy(painting.path, folder / "paintings")
    page = folder / "index.html"
    tiles = "".join(map(make_tile, COLLECTION.values()))
    page.write_text(page.read_text("utf-8").replace("<!-- paintings -->", tiles), "utf-8")


def make_tile(painting: CollectionPainting) -> str:
    """Make the page's choice of a painting."""
    checked = "checked " if painting.name == FIRST_PAINTING else ""
    return (
        f'<label class="tile" title="{html.escape(painting.credit)}">'
        f'<input type="radio" name="painting" value="{painting.name}" {checked}/>'
        f'<img src="paintings/{painting.path.name}" alt="{html.escape(painting.title)}" /></label>\n            '
    )


def fetch_runtime() -> Path:
    """Return ONNX Runtime Web's package, from the cache or from npm's registry, verified. Errors: ImpastoError."""
    package = get_cache_folder() / RUNTIME
    try:
        package.parent.mkdir(parents=True, exist_ok=True)
        if not package.exists():
            print(f"Fetching {RUNTIME_URL} ...")
        download_file(RUNTIME_URL, package, RUNTIME_BYTES, RUNTIME_SHA256)
    except OSError as error:
        raise ImpastoError(
            f"{RUNTIME_URL} could not be fetched to {package.parent}: {error}. Try again, put the file there yourself, "
            "or name another folder in IMPASTO_CACHE."
        ) from error
    return package


def unpack_runtime(package: Path, folder: Path) -> None:
    """Unpack the files that the page loads."""
    with tarfile.open(package) as archive:
        for name in RUNTIME_FILES:
            packed = archive.extractfile(f"package/dist/{name}")
            assert packed is not None
            (folder / name).write_bytes(packed.read())


if __name__ == "__main__":
    sys.exit(main())
