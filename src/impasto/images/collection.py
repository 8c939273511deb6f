"""The paintings that come with impasto, usable by name wherever a painting is: credits, and where their files are."""

import difflib
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

COLLECTION_FOLDER = Path(str(files("impasto.images") / "paintings"))


@dataclass(frozen=True)
class CollectionPainting:
    """A public-domain painting: its painter died before 1950. `name` is what a user writes."""

    name: str
    painter: str
    title: str
    year: str
    collection: str

    @property
    def path(self) -> Path:
        """The picture's file."""
        return COLLECTION_FOLDER / f"{self.name}.webp"

    @property
    def credit(self) -> str:
        """Painter, title, year and collection in one line."""
        return f"{self.painter}, {self.title}, {self.year}, {self.collection}"


COLLECTION = {
    row.name: row
    for row in (
        CollectionPainting(
            "starry_night", "Vincent van Gogh", "The Starry Night", "1889", "Museum of Modern Art, New York"
        ),
        CollectionPainting("the_bedroom", "Vincent van Gogh", "The Bedroom", "1888", "Van Gogh Museum, Amsterdam"),
        CollectionPainting("the_scream", "Edvard Munch", "The Scream", "1893", "National Museum, Oslo"),
        CollectionPainting(
            "the_shipwreck",
            "J. M. W. Turner",
            "The Shipwreck of the Minotaur",
            "about 1810",
            "Calouste Gulbenkian Museum, Lisbon",
        ),
        CollectionPainting(
            "the_great_wave",
            "Katsushika Hokusai",
            "The Great Wave off Kanagawa",
            "about 1831",
            "woodblock print in many collections",
        ),
        CollectionPainting(
            "composition_vii", "Wassily Kandinsky", "Composition VII", "1913", "Tretyakov Gallery, Moscow"
        ),
        CollectionPainting(
            "la_grande_jatte",
            "Georges Seurat",
            "A Sunday on La Grande Jatte",
            "1884 to 1886",
            "Art Institute of Chicago",
        ),
        CollectionPainting(
            "adele_bloch_bauer", "Gustav Klimt", "Portrait of Adele Bloch-Bauer I", "1907", "Neue Galerie, New York"
        ),
        CollectionPainting(
            "the_street_pavers",
            "Umberto Boccioni",
            "The Street Pavers",
            "1914",
            "Metropolitan Museum of Art, New York",
        ),
        CollectionPainting("the_gray_tree", "Piet Mondrian", "Gray Tree", "1911", "Kunstmuseum Den Haag"),
    )
}


def find_painting(name: str | os.PathLike[str]) -> Path | None:
    """Return the file of the collection's painting of that name, or None; a file or folder of that name wins.

    Example: find_painting("starry_night").name == "starry_night.webp"
    """
    painting = COLLECTION.get(os.fspath(name))
    return None if painting is None or Path(name).exists() else painting.path


def suggest_painting(name: str) -> str:
    """Return the name in the collection that a mistyped one is most like; "" where none is.

    Example: suggest_painting("Stary Night") == "starry_night"
    """
    written = name.lower().replace(" ", "_").replace("-", "_")
    return next(iter(difflib.get_close_matches(written, COLLECTION, 1, cutoff=0.7)), "")
