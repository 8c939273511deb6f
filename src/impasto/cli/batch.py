"""`impasto batch`: paint folders, products of photos and paintings, and lists."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.batch.inputs import InputCollector, Pairs, make_pairs
from impasto.batch.items import make_item
from impasto.batch.job_list import read_job_list
from impasto.batch.naming import DEFAULT_TEMPLATE, check_template, name_outputs
from impasto.cli.arguments import OUTPUT_GROUP, BitsOption, QualityOption, QuietOutputOption
from impasto.cli.batch_options import (
    WORKERS_GROUP,
    Address,
    EngineName,
    Memory,
    Threads,
    Workers,
    check_address,
    parse_memory,
)
from impasto.cli.options import with_settings
from impasto.errors import UsageError
from impasto.images.formats import DEFAULT_QUALITY
from impasto.settings.model import Settings
from impasto.settings.parsing import parse_settings
from impasto.terminal.console import print_message
from impasto.terminal.interrupts import INTERRUPT_NOTICE, Interrupts

PICTURES = Group("Pictures", sort_key=0)
Transfer = Literal["auto", "shared", "store"]


@with_settings()
def batch(
    *photos: Annotated[
        str,
        Parameter(
            name="PHOTO",
            group=PICTURES,
            help="photos: files, folders with their subfolders, or quoted patterns such as 'photos/**/*.jpg'",
        ),
    ],
    style: Annotated[
        list[str] | None,
        Parameter(
            group=PICTURES,
            metavar="PAINTING",
            consume_multiple=True,
            show_default=False,
            help="paintings: files, folders or patterns, as for photos",
        ),
    ] = None,
    pairs: Annotated[
        Pairs,
        Parameter(
            group=PICTURES,
            help="product: every photo with every painting; zip: the first with the first, the second with the second",
        ),
    ] = "product",
    jobs: Annotated[
        Path | None,
        Parameter(
            group=PICTURES,
            metavar="LIST",
            show_default=False,
            help="a list in place of PHOTO and --style, with settings in each row: .csv, .toml or .jsonl",
        ),
    ] = None,
    output: Annotated[
        Path,
        Parameter(
            alias="-o", group=OUTPUT_GROUP, metavar="FOLDER", help="folder for the pictures; made if it does not exist"
        ),
    ],
    name: Annotated[
        str,
        Parameter(
            group=OUTPUT_GROUP,
            metavar="TEMPLATE",
            help="names of the pictures: {photo}, {painting}, {number}, any setting, such as {size}; / makes folders",
        ),
    ] = DEFAULT_TEMPLATE,
    overwrite: Annotated[
        bool,
        Parameter(
            group=OUTPUT_GROUP,
            negative=(),
            show_default=False,
            help="replace other files that have the pictures' names; finished pictures are always kept",
        ),
    ] = False,
    bits: BitsOption = 8,
    quality: QualityOption = DEFAULT_QUALITY,
    quiet: QuietOutputOption = False,
    engine: EngineName = "local",
    address: Address = None,
    transfer: Annotated[
        Transfer,
        Parameter(
            group=WORKERS_GROUP,
            help="how files reach Ray's nodes. shared: by their paths; store: through Ray; auto: through Ray if a node "
            "lacks them",
        ),
    ] = "auto",
    workers: Workers = None,
    threads: Threads = None,
    memory: Memory = None,
    checkpoint_every: Annotated[
        float,
        Parameter(
            group=WORKERS_GROUP,
            metavar="SECONDS",
            validator=Number(gte=0),
            help="seconds between checkpoints of a picture; 0: only when it is stopped [0 or more]",
        ),
    ] = 30.0,
    **given: Any,
) -> int:
    """Paint many pictures: every PHOTO in the style of every painting, or a list.

    Pictures that are finished in FOLDER, as their recipes tell, are not painted again: the same command
    continues an interrupted batch. If a picture fails, the others are still painted. report.csv and
    report.html list the results. Exits with 1 if any picture failed.
    """
    chosen = {setting: value for setting, value in given.items() if value is not None}
    memory_bytes = parse_memory(memory)
    check_address(engine, address)
    if engine == "local" and transfer != "auto":
        raise UsageError("`transfer` is for `engine` ray")
    check_template(name)
    inputs = InputCollector(output)
    if jobs:
        if photos or style:
            raise UsageError("`jobs` takes the place of PHOTO and `style`: leave one of them out")
        items = read_job_list(jobs, chosen, bits=bits, quality=quality)
    else:
        items = [
            make_item(
                photo, (painting,), settings, bits=bits, quality=quality, source=f"{photo.name} x {painting.name}"
            )
            for photo, painting, settings in collect_pairs(inputs, photos, style or (), pairs, chosen)
        ]
    names = name_outputs(items, name)
    for note in [] if quiet else inputs.list_notes():
        print_message(note)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        from impasto.batch.batch_run import run_batch
        from impasto.workers.pool import WorkerOptions

        options = WorkerOptions(engine, address, transfer, workers, threads, memory_bytes, checkpoint_every)
        return run_batch(items, names, output, options, interrupts, overwrite=overwrite, quiet=quiet)


def collect_pairs(
    inputs: InputCollector, photos: Sequence[str], style: Sequence[str], pairs: Pairs, given: dict[str, Any]
) -> Iterator[tuple[Path, Path, Settings]]:
    """Yield (photo, painting, settings) for each pair. All pairs share one Settings."""
    if not photos or not style:
        missing = "PHOTO is" if not photos else "paintings are"
        raise UsageError(
            f"{missing} missing: paintings follow `style`, as in impasto batch photos `style` starry_night; or name a "
            "list with `jobs`"
        )
    settings = parse_settings(given).map_files(lambda file: str(Path.cwd() / file), given)
    found = inputs.collect(photos, "PHOTO"), inputs.collect(style, "`style`")
    return ((photo, painting, settings) for photo, painting in make_pairs(*found, pairs))
