"""The page: what stands where, and what happens when something is chosen, moved or pressed."""

from typing import Any

import gradio as gr

from impasto.apps.studio.desk import Desk
from impasto.apps.studio.fields import Form
from impasto.apps.studio.interface import offer
from impasto.apps.studio.materials import Materials, Where
from impasto.apps.studio.messages import QUIET, SHOW_NEW, html_part, join_script, said, tell, visitor
from impasto.apps.studio.more import More

TITLE = "impasto studio"
HEAD = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="stylesheet" href="studio/studio.css">'
)
IDENTITY = "(...values) => [...values.slice(0, -1), window.impasto ? window.impasto.current() : '']"


def build(desk: Desk) -> gr.Blocks:
    """Build the page, and the interface for programs beside it."""
    page: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        offer(desk)  # first, for its functions to have their own names
        html_part(
            '<header class="studio-head"><h1>impasto</h1>'
            "<p>Paint a photo in the manner of a painting, and steer while it is painted.</p></header>"
        )
        with gr.Row(elem_classes="studio-room"):
            with gr.Column(scale=2, min_width=320, elem_classes="studio-bench"):
                materials = Materials(desk)
                form = Form()
                where = Where(desk, materials)
                message = html_part("", elem_id="message")
                with gr.Row(elem_classes="studio-go"):
                    paint = gr.Button("Paint", variant="primary", elem_id="paint")
                more = More(desk, materials, form, message)
            with gr.Column(scale=3, min_width=320, elem_classes="studio-wall"):
                easel = html_part(EASEL, elem_id="easel", js_on_load=join_script("hang(element, trigger)"))
                gallery = html_part(GALLERY, elem_id="gallery", js_on_load=join_script("shelve(element, trigger)"))
        values = [where.brushed, materials.photo, materials.paintings, *form.inputs]

        def order(request: gr.Request, brushed: str, photo: Any, paintings: Any, *rest: Any) -> str:
            given = form.read(rest, len(paintings or []))
            desk.order(photo, paintings or [], given, visitor=visitor(request), brushed=brushed)
            return ""

        paint.click(None, js=SHOW_NEW, api_visibility="private")
        paint.click(said(order), values, message, **QUIET)
        materials.paintings.change(lambda it: form.show_blend(len(it or [])), materials.paintings, form.blend, **QUIET)
        _connect_steering(desk, form, materials, message)
        more.connect(values)

        def reopen(event: gr.EventData) -> list[Any]:
            wish = dict(event._data or {})
            it = desk.reopen(str(wish.get("identity")), str(wish.get("name", "")))
            said = tell(f"The settings of “{it.name}” are in the form again.")
            return [
                *where.fill(it),
                *materials.fill(it.photo, it.paintings),
                *form.fill(it.settings, len(it.paintings)),
                said,
            ]

        outputs = [*where.outputs, *materials.outputs, *form.outputs, message]
        for source in (easel, gallery):
            source.select(said(reopen, len(outputs)), None, outputs, **QUIET)
        more.connect_reopening(outputs)
    return page


def _connect_steering(desk: Desk, form: "Form", materials: "Materials", message: gr.HTML) -> None:
    def steer(paintings: Any, *rest: Any) -> str:
        *values, identity = rest
        if not identity:
            return ""
        count = len(paintings or [])
        desk.steer_towards(str(identity), form.read(values, count))
        return ""

    hidden = gr.Textbox(visible=False)
    for field in form.steered:
        field.input(
            said(steer),
            [materials.paintings, *form.inputs, hidden],
            message,
            js=IDENTITY,
            trigger_mode="always_last",
            **QUIET,
        )


EASEL = '<section aria-label="Easel" class="easel"></section>'
GALLERY = '<section aria-label="Pictures" class="gallery"></section>'
