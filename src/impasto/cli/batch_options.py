"""Options of the commands that paint with several workers: engine, address, workers, threads, memory."""

from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.errors import UsageError
from impasto.settings.units import parse_bytes

WORKERS_GROUP = Group("Workers", sort_key=2)

EngineName = Annotated[
    Literal["local", "ray"], Parameter(group=WORKERS_GROUP, help="local: this machine; ray: a cluster")
]
Address = Annotated[
    str | None,
    Parameter(
        group=WORKERS_GROUP,
        show_default="RAY_ADDRESS, or a cluster of this machine alone",
        help="address of a Ray cluster: HOST:PORT, or auto for the cluster that this machine belongs to",
    ),
]
Workers = Annotated[
    int | None,
    Parameter(
        group=WORKERS_GROUP,
        validator=Number(gte=1),
        show_default="as many as cores and memory allow",
        help="how many pictures, or shots of a film, are painted at the same time [1 or more]",
    ),
]
Threads = Annotated[
    int | None,
    Parameter(
        group=WORKERS_GROUP,
        validator=Number(gte=1),
        show_default="the cores, divided among the workers",
        help="threads of each worker [1 or more]",
    ),
]
Memory = Annotated[
    str | None,
    Parameter(
        group=WORKERS_GROUP,
        metavar="AMOUNT",
        show_default="auto, the free memory",
        help="what all workers of a machine may use together, such as 4GiB",
    ),
]


def check_address(engine: str, address: str | None) -> None:
    """Raise UsageError if an address is given to an engine that has none."""
    if engine == "local" and address:
        raise UsageError("`address` is for `engine` ray")


def parse_memory(text: str | None) -> int | None:
    """Read an amount of memory in bytes; None for auto. Raises UsageError for anything else."""
    try:
        return parse_bytes(text or "auto")
    except ValueError as error:
        raise UsageError(f"`memory` {error}") from None
