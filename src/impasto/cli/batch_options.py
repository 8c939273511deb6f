"""The options that say who paints, of all commands that paint with several workers."""

from typing import Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from impasto.errors import UsageError

WORKERS_GROUP = Group("Workers", sort_key=2)

EngineName = Annotated[
    Literal["local", "ray"], Parameter(group=WORKERS_GROUP, help="local: this machine; ray: a cluster")
]
Address = Annotated[
    str | None,
    Parameter(
        group=WORKERS_GROUP,
        show_default="RAY_ADDRESS, or else a cluster of this machine alone",
        help="of a Ray cluster: auto for the one that this machine is in, or HOST:PORT",
    ),
]
Workers = Annotated[
    int | None,
    Parameter(
        group=WORKERS_GROUP,
        validator=Number(gte=1),
        show_default="as many as cores and memory bear",
        help="how many pictures, or shots of a film, are painted at one time [1 or more]",
    ),
]
Threads = Annotated[
    int | None,
    Parameter(
        group=WORKERS_GROUP,
        validator=Number(gte=1),
        show_default="the cores, shared out",
        help="of each worker [1 or more]",
    ),
]
Memory = Annotated[
    str | None,
    Parameter(
        group=WORKERS_GROUP,
        metavar="AMOUNT",
        show_default="what is free",
        help="what all workers of a machine may take together, such as 4GiB",
    ),
]


def check_address(engine: str, address: str | None) -> None:
    """Raise UsageError where an address is given that no engine asks for."""
    if engine == "local" and address:
        raise UsageError("--address is for --engine ray")
