"""The page: what stands where, and what happens when something is chosen, moved or pressed."""

from typing import Any

import gradio as gr

from impasto.studio.extra_panels import ExtraPanels
from impasto.studio.form import SettingsForm
from impasto.studio.input_panels import InputPanel, MaskPanel
from impasto.studio.page_parts import (
    EXPECT_NEW_JOB,
    QUIET_EVENT,
    connect_script,
    make_html,
    render_info,
    show_errors,
    visitor_address,
)
from impasto.studio.program_interface import add_program_interface
from impasto.studio.service import StudioService

PAGE_TITLE = "impasto studio"
PAGE_HEAD = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="stylesheet" href="studio/studio.css">'
)
WITH_CURRENT_JOB = "(...values) => [...values.slice(0, -1), window.impasto ? window.impasto.current() : '']"


def build_page(desk: StudioService) -> gr.Blocks:
    """Build the page, and the interface for programs beside it."""
    page: gr.Blocks
    with gr.Blocks(title=PAGE_TITLE, analytics_enabled=False) as page:
        add_program_interface(desk)  # first, for its functions to have their own names
        make_html(
            '<header class="studio-head"><h1>impasto</h1>'
            "<p>Paint a photo in the manner of a painting, and steer while it is painted.</p></header>"
        )
        with gr.Row(elem_classes="studio-room"):
            with gr.Column(scale=2, min_width=320, elem_classes="studio-inputs"):
                materials = InputPanel(desk)
                form = SettingsForm()
                where = MaskPanel(desk, materials)
                message = make_html("", elem_id="message")
                with gr.Row(elem_classes="studio-go"):
                    paint = gr.Button("Paint", variant="primary", elem_id="paint")
                more = ExtraPanels(desk, materials, form, message)
            with gr.Column(scale=3, min_width=320, elem_classes="studio-output"):
                easel = make_html(PREVIEW_HTML, elem_id="easel", js_on_load=connect_script("hang(element, trigger)"))
                gallery = make_html(
                    GALLERY_HTML, elem_id="gallery", js_on_load=connect_script("shelve(element, trigger)")
                )
        values = [where.brushed, materials.photo, materials.paintings, *form.inputs]

        def order(request: gr.Request, brushed: str, photo: Any, paintings: Any, *rest: Any) -> str:
            given = form.read_values(rest, len(paintings or []))
            desk.submit_painting(photo, paintings or [], given, visitor=visitor_address(request), brushed=brushed)
            return ""

        paint.click(None, js=EXPECT_NEW_JOB, api_visibility="private")
        paint.click(show_errors(order), values, message, **QUIET_EVENT)
        materials.paintings.change(
            lambda it: form.show_blend_sliders(len(it or [])), materials.paintings, form.blend, **QUIET_EVENT
        )
        _connect_live_changes(desk, form, materials, message)
        more.connect_buttons(values)

        def reopen(event: gr.EventData) -> list[Any]:
            wish = dict(event._data or {})
            it = desk.prefill_form(str(wish.get("identity")), str(wish.get("name", "")))
            said = render_info(f"The settings of “{it.name}” are in the form again.")
            return [
                *where.fill_masks(it),
                *materials.fill_inputs(it.photo, it.paintings),
                *form.fill_fields(it.settings, len(it.paintings)),
                said,
            ]

        outputs = [*where.outputs, *materials.outputs, *form.outputs, message]
        for source in (easel, gallery):
            source.select(show_errors(reopen, len(outputs)), None, outputs, **QUIET_EVENT)
        more.connect_prefill(outputs)
    return page


def _connect_live_changes(desk: StudioService, form: "SettingsForm", materials: "InputPanel", message: gr.HTML) -> None:
    def steer(paintings: Any, *rest: Any) -> str:
        *values, identity = rest
        if not identity:
            return ""
        count = len(paintings or [])
        desk.apply_form(str(identity), form.read_values(values, count))
        return ""

    hidden = gr.Textbox(visible=False)
    for field in form.live_inputs:
        field.input(
            show_errors(steer),
            [materials.paintings, *form.inputs, hidden],
            message,
            js=WITH_CURRENT_JOB,
            trigger_mode="always_last",
            **QUIET_EVENT,
        )


PREVIEW_HTML = '<section aria-label="Easel" class="easel"></section>'
GALLERY_HTML = '<section aria-label="Pictures" class="gallery"></section>'
