"""Words for the page: settings by their labels, files by their names."""

import os
import re
from pathlib import Path


def in_page_words(text: str, folder: Path | None = None) -> str:
    """Write a message for the page: settings by their labels, files in `folder` by their names."""
    if folder:
        text = text.replace(f"{folder / 'inputs'}{os.sep}", "").replace(f"{folder}{os.sep}", "")
    return re.sub(r"--([a-z][a-z-]+)", lambda found: f"“{found[1].replace('-', ' ').capitalize()}”", text)
