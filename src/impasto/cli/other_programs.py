"""The options of other programs in the words of impasto: for messages, and for docs/reference/other-programs.md.

other_programs.txt has them by the name of the program's preset. Each line: its option | ours | what is different.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from impasto.settings.model import Settings


class ForeignOption(NamedTuple):
    """An option of another program, what it is here ("no" where nothing is), and what is different, in Markdown."""

    name: str
    ours: str
    difference: str

    def is_option_of(self, command: str) -> bool:
        """Does this command of impasto have an option of the same name?"""
        name = self.name.replace("_", "-")
        homes = [home for home, flag in re.findall(r"(?:impasto (\w+) )?(--[a-z-]+)", self.ours) if flag == name]
        return "" in homes or command in homes or name[2:].replace("-", "_") in Settings.model_fields

    def describe(self, program: str) -> str:
        """Say, without Markdown, what to write here."""
        ours = "not needed here" if self.ours == "no" else f"{self.ours} here"
        return f"{self.name} of {program} is {ours}{self.difference and ': '}{self.difference}".replace("`", "")


@cache
def read_foreign_options() -> dict[str, list[ForeignOption]]:
    """Return the options of each program."""
    text = files("impasto.cli").joinpath("other_programs.txt").read_text(encoding="utf-8")
    sections = [section.strip().splitlines() for section in text.removeprefix("# ").split("\n# ")]
    return {
        program: [ForeignOption(*(cell.strip() for cell in line.split("|"))) for line in lines]
        for program, *lines in sections
    }


def explain_foreign_options(words: Sequence[str]) -> Iterator[str]:
    """Say of each word that is an option of another program, and none here, what to write; and which preset is like it.

    Where there is one, its options that are spelled with _ are explained too: they have the name of an option here, but
    perhaps another unit.

    Example: [*explain_foreign_options(["--max_size", "512"])][0].startswith("--max_size of neural-style-tf is --size")
    """
    given, command = {word.partition("=")[0] for word in words}, next(iter(words), "")
    for program, options in read_foreign_options().items():
        found = [option for option in options if option.name in given]
        foreign = [option for option in found if not option.is_option_of(command)]
        if foreign:
            yield from (option.describe(program) for option in found if option in foreign or "_" in option.name)
            yield f"--preset {program} paints with its formulas, weights and steps"
