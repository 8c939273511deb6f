"""A contact sheet: small pictures in rows, with lines of text under each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

MAX_CELL_PIXELS = 512  # of a picture's longer side
PAPER_COLOR, INK_COLOR = (255, 255, 255), (32, 32, 32)


@dataclass(frozen=True)
class SheetCell:
    """A picture, or None where there is none, and the lines under it."""

    picture: PilImage.Image | None
    lines: Sequence[str]


def compose_sheet(cells: Sequence[SheetCell], columns: int) -> PilImage.Image:
    """Lay cells out in rows of `columns`, from left to right; all columns are as wide as the widest picture.

    Pictures longer than 512 pixels are made smaller; transparent pixels show the paper.

    Example: compose_sheet([SheetCell(picture, ["style_weight 3"])], columns=1).save("sheet.png")
    """
    pictures = [_shrink_picture(cell.picture) for cell in cells]
    width = max((picture.width for picture in pictures if picture), default=MAX_CELL_PIXELS // 2)
    height = max((picture.height for picture in pictures if picture), default=MAX_CELL_PIXELS // 2)
    font_height = max(11, width // 18)
    font = ImageFont.load_default(font_height)
    margin, line_height = max(6, width // 24), round(1.3 * font_height)
    texts = [[piece for line in cell.lines for piece in _wrap_text(line, font, width)] for cell in cells]
    cell_height = height + margin // 2 + line_height * max(map(len, texts))
    rows = -(-len(cells) // columns)
    sheet = PilImage.new(
        "RGB", (margin + columns * (width + margin), margin + rows * (cell_height + margin)), PAPER_COLOR
    )
    draw = ImageDraw.Draw(sheet)
    for number, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        left = margin + number % columns * (width + margin)
        top = margin + number // columns * (cell_height + margin)
        if picture:
            sheet.paste(picture, (left, top), picture if picture.mode == "RGBA" else None)
        else:
            draw.rectangle((left, top, left + width - 1, top + height - 1), outline=INK_COLOR)
        for line, text in enumerate(lines):
            draw.text((left, top + height + margin // 2 + line * line_height), text, INK_COLOR, font)
    return sheet


def _shrink_picture(picture: PilImage.Image | None) -> PilImage.Image | None:
    if picture and max(picture.size) > MAX_CELL_PIXELS:
        picture = picture.copy()
        picture.thumbnail((MAX_CELL_PIXELS, MAX_CELL_PIXELS), PilImage.Resampling.LANCZOS)
    return picture


def _wrap_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break a line into lines of at most `width` pixels, at spaces and commas, or else within a word."""
    lines = [""]
    for piece in re.findall(r"[^ ,]*[ ,]*", text):
        if lines[-1] and font.getlength((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        for letter in piece:
            if lines[-1] and letter != " " and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return [line.rstrip() for line in lines]
