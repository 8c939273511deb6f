"""`impasto batch`: paint folders, products of photos and paintings, and lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.batch.commissions import Commission
from impasto.batch.inputs import InputCollector, Pairs, make_pairs
from impasto.batch.job_list import read_job_list, resolve_files
from impasto.batch.naming import DEFAULT_TEMPLATE, check_template, name_outputs
from impasto.cli.arguments import OUTPUT_GROUP, BitsOption, QualityOption, QuietOutputOption
from impasto.cli.batch_options import WORKERS_GROUP, Address, EngineName, Memory, Threads, Workers, check_address
from impasto.cli.options import parse_settings, with_settings
from impasto.errors import UsageError
from impasto.terminal.console import print_message
from impasto.terminal.interrupts import INTERRUPT_NOTICE, Interrupts
from impasto.workers.resources import read_bytes

PICTURES = Group("Pictures", sort_key=0)
Transfer = Literal["auto", "shared", "store"]


@with_settings()
def batch(
    *photos: Annotated[
        str,
        Parameter(
            name="PHOTO",
            group=PICTURES,
            help="photographs: files, folders with all in them, or quoted patterns such as 'photos/**/*.jpg'",
        ),
    ],
    style: Annotated[
        list[str] | None,
        Parameter(
            group=PICTURES,
            metavar="PAINTING",
            consume_multiple=True,
            show_default=False,
            help="paintings, named as photos are",
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
            help="a list in place of PHOTO and --style, with settings in each row: .csv, .toml, .jsonl",
        ),
    ] = None,
    output: Annotated[
        Path, Parameter(alias="-o", group=OUTPUT_GROUP, metavar="FOLDER", help="where the pictures go; made if need be")
    ],
    name: Annotated[
        str,
        Parameter(
            group=OUTPUT_GROUP,
            metavar="TEMPLATE",
            help="what they are called there: {photo}, {painting}, {number} and any setting, such as {size}; / makes "
            "folders",
        ),
    ] = DEFAULT_TEMPLATE,
    overwrite: Annotated[
        bool,
        Parameter(
            group=OUTPUT_GROUP,
            negative=(),
            show_default=False,
            help="replace other files that have the pictures' names; those that are finished stay in any case",
        ),
    ] = False,
    bits: BitsOption = 8,
    quality: QualityOption = 95,
    quiet: QuietOutputOption = False,
    engine: EngineName = "local",
    address: Address = None,
    transfer: Annotated[
        Transfer,
        Parameter(
            group=WORKERS_GROUP,
            help="how files come to Ray's nodes and back. shared: by their paths; store: through Ray; auto: through "
            "Ray where a node lacks them",
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
            help="how often a picture is kept as far as it is; 0: only when it is stopped [0 or more]",
        ),
    ] = 30.0,
    **given: Any,
) -> int:
    """Paint many pictures: every PHOTO in the style of every painting, or a list.

    What is finished in FOLDER, by the recipe that each picture carries, is not painted again, so an
    interrupted batch goes on with the same command. One picture that fails does not stop the others;
    report.csv and report.html say what came of each. Exits with 1 if any failed.
    """
    chosen = {setting: value for setting, value in given.items() if value is not None}
    limit = read_bytes(memory) if memory else None
    check_address(engine, address)
    if engine == "local" and transfer != "auto":
        raise UsageError("--transfer is for --engine ray")
    check_template(name)
    listing = InputCollector(output)
    if jobs:
        if photos or style:
            raise UsageError("--jobs takes the place of PHOTO and --style: leave one of them out")
        commissions = read_job_list(jobs, chosen, bits=bits, quality=quality)
    else:
        commissions = commission_pairs(listing, photos, style or (), pairs, chosen, bits, quality)
    names = name_outputs(commissions, name)
    for note in [] if quiet else listing.list_notes():
        print_message(note)
    with Interrupts("" if quiet else INTERRUPT_NOTICE) as interrupts:
        from impasto.batch.run import WorkerOptions, run_batch

        plan = WorkerOptions(engine, address, transfer, workers, threads, limit, checkpoint_every)
        return run_batch(commissions, names, output, plan, interrupts, overwrite=overwrite, quiet=quiet)


def commission_pairs(
    listing: InputCollector,
    photos: Sequence[str],
    style: Sequence[str],
    pairs: Pairs,
    given: dict[str, Any],
    bits: Literal[8, 16],
    quality: int,
) -> list[Commission]:
    """Find the photos and paintings, and commission a picture for each pair."""
    if not photos or not style:
        lacking = "PHOTO" if not photos else "--style PAINTING"
        raise UsageError(f"{lacking} is missing: name photos and paintings, or a list with --jobs")
    settings = resolve_files(parse_settings(given), Path.cwd(), given)
    found = listing.collect(photos, "PHOTO"), listing.collect(style, "--style")
    return [
        Commission(photo, (painting,), settings, bits, quality, source=f"{photo.name} x {painting.name}")
        for photo, painting in make_pairs(*found, pairs)
    ]
