"""The page: puts the panels together, applies changes to a running job, refills the form."""

from importlib.metadata import version
from typing import Any

import gradio as gr

from impasto.studio.panels import (
    QUIET_EVENT,
    ExtraPanels,
    InputPanel,
    MaskPanel,
    SettingsForm,
    connect_script,
    make_html,
    render_info,
    show_errors,
)
from impasto.studio.routes import add_functions
from impasto.studio.service import StudioService

PAGE_TITLE = "impasto studio"
PAGE_HEAD = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f'<link rel="stylesheet" href="studio/static/studio.css?{version("impasto")}">'
)
HEADER_HTML = (
    '<header class="studio-head"><h1>impasto</h1>'
    "<p>Paint a photo in the style of a painting, and change settings while it is painted.</p></header>"
)
PREVIEW_HTML = '<section aria-label="Preview" class="preview"></section>'
GALLERY_HTML = '<section aria-label="Pictures" class="gallery"></section>'
WITH_CURRENT_JOB = "(...values) => [...values.slice(0, -1), window.impasto ? window.impasto.current() : '']"


def build_page(service: StudioService) -> gr.Blocks:
    """Build the page, with the functions for programs."""
    page: gr.Blocks
    with gr.Blocks(title=PAGE_TITLE, analytics_enabled=False) as page:
        add_functions(service)  # first, for the functions to get their own names
        make_html(HEADER_HTML)
        with gr.Row(elem_classes="studio-columns"):
            with gr.Column(scale=2, min_width=320, elem_classes="studio-inputs"):
                inputs = InputPanel(service)
                form = SettingsForm()
                masks = MaskPanel(service, inputs)
                extras = ExtraPanels(service, inputs, form)
            with gr.Column(scale=3, min_width=320, elem_classes="studio-output"):
                preview = make_html(
                    PREVIEW_HTML, elem_id="preview", js_on_load=connect_script("mountPreview(element, trigger)")
                )
                make_html(GALLERY_HTML, elem_id="gallery", js_on_load=connect_script("mountGallery(element)"))
        inputs.paintings.change(
            lambda paintings: form.show_blend_sliders(len(paintings or [])), inputs.paintings, form.blend, **QUIET_EVENT
        )
        _connect_live_changes(service, form, inputs, extras.message)
        extras.connect_buttons(masks.brushed)
        outputs = [*masks.outputs, *inputs.outputs, *form.inputs, extras.message]
        _connect_prefill(service, form, inputs, masks, preview, outputs)
        extras.connect_prefill(outputs)
    return page


def _connect_live_changes(service: StudioService, form: SettingsForm, inputs: InputPanel, message: gr.HTML) -> None:
    def apply_form(paintings: Any, *rest: Any) -> str:
        *values, job_id = rest
        if job_id:
            service.apply_form(str(job_id), form.read_values(values, len(paintings or [])))
        return ""

    hidden = gr.Textbox(visible=False)
    for field in form.live_inputs:
        field.input(
            show_errors(apply_form),
            [inputs.paintings, *form.inputs, hidden],
            message,
            js=WITH_CURRENT_JOB,
            trigger_mode="always_last",
            **QUIET_EVENT,
        )


def _connect_prefill(
    service: StudioService,
    form: SettingsForm,
    inputs: InputPanel,
    masks: MaskPanel,
    preview: gr.HTML,
    outputs: list[Any],
) -> None:
    def prefill(event: gr.EventData) -> list[Any]:
        chosen = dict(event._data or {})
        job = service.prefill_form(str(chosen.get("id")), str(chosen.get("name", "")))
        return [
            *masks.fill_masks(job),
            *inputs.fill_inputs(job.photo, job.paintings),
            *form.fill_fields(job.settings, len(job.paintings)),
            render_info(f"The settings of “{job.name}” are in the form again."),
        ]

    preview.select(show_errors(prefill, len(outputs)), None, outputs, **QUIET_EVENT)
