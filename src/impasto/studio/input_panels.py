"""Parts of the page: what is painted from, and where."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from impasto.errors import UsageError
from impasto.studio import mask_editor, uploads
from impasto.studio.page_parts import QUIET_EVENT, connect_script, ignore_errors, make_html, show_errors
from impasto.studio.service import EXAMPLE_PAINTINGS, EXAMPLE_PHOTOS, FormPrefill, StudioService

PICTURE_TYPES = ["image", ".jp2", ".ppm", ".tif", ".tiff", ".webp", ".bmp"]
JS_EXAMPLES = """
element.addEventListener('click', event => {
  const button = event.target.closest('button.example');
  if (button) trigger('select', {name: button.dataset.name});
});
"""


class InputPanel:
    """The photo and the paintings: places to drop them, what they look like, and examples."""

    def __init__(self, service: StudioService) -> None:
        self.service = service
        make_html("<h2>Photo</h2>")
        self.photo = gr.File(label="Photo", show_label=False, file_types=PICTURE_TYPES, height=116, elem_id="photo")
        self.photo_preview = make_html("", elem_id="photo-seen")
        photo_examples = make_html(
            _render_examples(EXAMPLE_PHOTOS, "photo"), js_on_load=JS_EXAMPLES, elem_id="photo-examples"
        )
        make_html("<h2>Paintings</h2>")
        self.paintings = gr.File(
            label="Paintings",
            show_label=False,
            file_types=PICTURE_TYPES,
            file_count="multiple",
            height=116,
            elem_id="paintings",
        )
        self.paintings_preview = make_html("", elem_id="paintings-seen")
        painting_examples = make_html(
            _render_examples(EXAMPLE_PAINTINGS, "painting"), js_on_load=JS_EXAMPLES, elem_id="painting-examples"
        )
        self.outputs = [self.photo, self.photo_preview, self.paintings, self.paintings_preview]

        def see_photo(photo: Any) -> str:
            return self.render_previews([photo] if photo else [])

        def see_paintings(paintings: Any) -> str:
            return self.render_previews(paintings or [])

        self.photo.change(show_errors(see_photo), self.photo, self.photo_preview, **QUIET_EVENT)
        self.paintings.change(show_errors(see_paintings), self.paintings, self.paintings_preview, **QUIET_EVENT)

        def take_photo(event: gr.EventData) -> str:
            return service.copy_example(str((event._data or {}).get("name")))

        def add_painting(event: gr.EventData, paintings: Any) -> list[str]:
            return [*(paintings or []), service.copy_example(str((event._data or {}).get("name")))]

        photo_examples.select(take_photo, None, self.photo, **QUIET_EVENT)
        painting_examples.select(add_painting, self.paintings, self.paintings, **QUIET_EVENT)

    def render_previews(self, given: Sequence[Any]) -> str:
        """Show what was chosen, small, or say what is wrong with it."""
        shown = []
        for it in given[: uploads.MAX_PAINTINGS]:
            path, small = self.service.load_picture(it)
            name = html.escape(path.name)
            shown.append(f'<figure><img src="{uploads.as_jpeg_url(small)}" alt="{name}"></figure>')
        return f'<div class="seen">{"".join(shown)}</div>' if shown else ""

    def fill_inputs(self, photo: str, paintings: list[str]) -> list[Any]:
        """Give new values for `outputs`."""
        return [photo, self.render_previews([photo]), paintings, self.render_previews(paintings)]


class MaskPanel:
    """Masks, brushed on the photo: which painting goes where, and what stays as it is."""

    def __init__(self, service: StudioService, materials: InputPanel) -> None:
        self.service = service
        self.brushed = gr.Textbox("", visible=False)
        with gr.Accordion("Brush where", open=False, elem_id="where"):
            make_html("<p>Brush which painting goes where, and what stays as it is in the photo.</p>")
            self.board = make_html(
                mask_editor.render_editor(None, []),
                elem_id="board",
                js_on_load=connect_script("brush(element, trigger, watch)"),
            )
            find = gr.Button("Begin with regions that are found", elem_id="find-regions")
            message = make_html("", elem_id="where-message")
        self.outputs = [self.brushed, self.board]

        def lay(photo: Any, paintings: Any, brushed: str) -> list[Any]:
            if photo and brushed and Path(brushed).parents[1] == Path(photo).parents[1]:  # they came back together
                return [gr.skip(), gr.skip()]
            small = service.load_picture(photo)[1] if photo else None
            return ["", mask_editor.render_editor(small, paintings or [])]

        def keep(event: gr.EventData) -> list[Any]:
            path = mask_editor.save_brushed(dict(event._data or {}).get("data"), service.store.uploads)
            return [str(path or ""), ""]

        def begin(photo: Any, paintings: Any) -> list[Any]:
            if not photo or not paintings:
                raise UsageError("Choose a photo and a painting first.")
            path, small = service.load_picture(photo)
            found = mask_editor.suggest_regions(uploads.read_picture(path), min(len(paintings), uploads.MAX_PAINTINGS))
            kept = mask_editor.save_brushed(found, service.store.uploads)
            return [str(kept), mask_editor.render_editor(small, paintings, found), ""]

        for source in (materials.photo, materials.paintings):
            source.change(
                ignore_errors(lay), [materials.photo, materials.paintings, self.brushed], self.outputs, **QUIET_EVENT
            )
        self.board.input(show_errors(keep, 2), None, [self.brushed, message], **QUIET_EVENT)
        find.click(
            show_errors(begin, 3), [materials.photo, materials.paintings], [*self.outputs, message], **QUIET_EVENT
        )

    def fill_masks(self, it: FormPrefill) -> list[Any]:
        """Give new values for `outputs`."""
        small = self.service.load_picture(it.photo)[1]
        address = mask_editor.as_data_url(Path(it.brushed)) if it.brushed else ""
        return [it.brushed, mask_editor.render_editor(small, it.paintings, address)]


def _render_examples(names: Sequence[str], what: str) -> str:
    def button(name: str) -> str:
        words = name.removesuffix(".jpg").replace("_", " ")
        return (
            f'<button type="button" class="example" data-name="{name}" aria-label="Example {what}: {words}" '
            f'title="{words}"><img src="studio/examples/{name}" alt="" loading="lazy"></button>'
        )

    return f'<div class="examples"><span>Or take</span>{"".join(map(button, names))}</div>'
