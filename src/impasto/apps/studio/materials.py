"""Parts of the page: what is painted from, and where."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from impasto.apps.studio import brush, uploads
from impasto.apps.studio.desk import EXAMPLE_PAINTINGS, EXAMPLE_PHOTOS, Desk, Reopened
from impasto.apps.studio.messages import QUIET, html_part, join_script, said, silent
from impasto.errors import UsageError

ACCEPTED = ["image", ".jp2", ".ppm", ".tif", ".tiff", ".webp", ".bmp"]
JS_EXAMPLES = """
element.addEventListener('click', event => {
  const button = event.target.closest('button.example');
  if (button) trigger('select', {name: button.dataset.name});
});
"""


class Materials:
    """The photo and the paintings: places to drop them, what they look like, and examples."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        html_part("<h2>Photo</h2>")
        self.photo = gr.File(label="Photo", show_label=False, file_types=ACCEPTED, height=116, elem_id="photo")
        self.photo_seen = html_part("", elem_id="photo-seen")
        photo_examples = html_part(_examples(EXAMPLE_PHOTOS, "photo"), js_on_load=JS_EXAMPLES, elem_id="photo-examples")
        html_part("<h2>Paintings</h2>")
        self.paintings = gr.File(
            label="Paintings",
            show_label=False,
            file_types=ACCEPTED,
            file_count="multiple",
            height=116,
            elem_id="paintings",
        )
        self.paintings_seen = html_part("", elem_id="paintings-seen")
        painting_examples = html_part(
            _examples(EXAMPLE_PAINTINGS, "painting"), js_on_load=JS_EXAMPLES, elem_id="painting-examples"
        )
        self.outputs = [self.photo, self.photo_seen, self.paintings, self.paintings_seen]

        def see_photo(photo: Any) -> str:
            return self.see([photo] if photo else [])

        def see_paintings(paintings: Any) -> str:
            return self.see(paintings or [])

        self.photo.change(said(see_photo), self.photo, self.photo_seen, **QUIET)
        self.paintings.change(said(see_paintings), self.paintings, self.paintings_seen, **QUIET)

        def take_photo(event: gr.EventData) -> str:
            return desk.fetch_example(str((event._data or {}).get("name")))

        def add_painting(event: gr.EventData, paintings: Any) -> list[str]:
            return [*(paintings or []), desk.fetch_example(str((event._data or {}).get("name")))]

        photo_examples.select(take_photo, None, self.photo, **QUIET)
        painting_examples.select(add_painting, self.paintings, self.paintings, **QUIET)

    def see(self, given: Sequence[Any]) -> str:
        """Show what was chosen, small, or say what is wrong with it."""
        shown = []
        for it in given[: uploads.MOST_PAINTINGS]:
            path, small = self.desk.look(it)
            name = html.escape(path.name)
            shown.append(f'<figure><img src="{uploads.as_source(small)}" alt="{name}"></figure>')
        return f'<div class="seen">{"".join(shown)}</div>' if shown else ""

    def fill(self, photo: str, paintings: list[str]) -> list[Any]:
        """Give new values for `outputs`."""
        return [photo, self.see([photo]), paintings, self.see(paintings)]


class Where:
    """Masks, brushed on the photo: which painting goes where, and what stays as it is."""

    def __init__(self, desk: Desk, materials: Materials) -> None:
        self.desk = desk
        self.brushed = gr.Textbox("", visible=False)
        with gr.Accordion("Brush where", open=False, elem_id="where"):
            html_part("<p>Brush which painting goes where, and what stays as it is in the photo.</p>")
            self.board = html_part(
                brush.show(None, []), elem_id="board", js_on_load=join_script("brush(element, trigger, watch)")
            )
            find = gr.Button("Begin with regions that are found", elem_id="find-regions")
            message = html_part("", elem_id="where-message")
        self.outputs = [self.brushed, self.board]

        def lay(photo: Any, paintings: Any, brushed: str) -> list[Any]:
            if photo and brushed and Path(brushed).parents[1] == Path(photo).parents[1]:  # they came back together
                return [gr.skip(), gr.skip()]
            small = desk.look(photo)[1] if photo else None
            return ["", brush.show(small, paintings or [])]

        def keep(event: gr.EventData) -> list[Any]:
            path = brush.decode(dict(event._data or {}).get("data"), desk.shelf.uploads)
            return [str(path or ""), ""]

        def begin(photo: Any, paintings: Any) -> list[Any]:
            if not photo or not paintings:
                raise UsageError("Choose a photo and a painting first.")
            path, small = desk.look(photo)
            found = brush.start(uploads.read(path), min(len(paintings), uploads.MOST_PAINTINGS))
            kept = brush.decode(found, desk.shelf.uploads)
            return [str(kept), brush.show(small, paintings, found), ""]

        for source in (materials.photo, materials.paintings):
            source.change(silent(lay), [materials.photo, materials.paintings, self.brushed], self.outputs, **QUIET)
        self.board.input(said(keep, 2), None, [self.brushed, message], **QUIET)
        find.click(said(begin, 3), [materials.photo, materials.paintings], [*self.outputs, message], **QUIET)

    def fill(self, it: Reopened) -> list[Any]:
        """Give new values for `outputs`."""
        small = self.desk.look(it.photo)[1]
        address = brush.as_address(Path(it.brushed)) if it.brushed else ""
        return [it.brushed, brush.show(small, it.paintings, address)]


def _examples(names: Sequence[str], what: str) -> str:
    def button(name: str) -> str:
        words = name.removesuffix(".jpg").replace("_", " ")
        return (
            f'<button type="button" class="example" data-name="{name}" aria-label="Example {what}: {words}" '
            f'title="{words}"><img src="studio/examples/{name}" alt="" loading="lazy"></button>'
        )

    return f'<div class="examples"><span>Or take</span>{"".join(map(button, names))}</div>'
