"""The page's panels: photo and paintings, the settings, the masks, and those below the button."""

import html
import math
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from impasto.errors import ImpastoError, UsageError
from impasto.images.formats import IMAGE_SUFFIXES
from impasto.recipes.recipe import Recipe
from impasto.settings.changes import STEERABLE
from impasto.settings.model import Settings
from impasto.studio import mask_editor
from impasto.studio.form import (
    MIDDLE,
    STROKE_RANGE,
    FormField,
    check_settings,
    field_values,
    form_fields,
    page_message,
    read_form,
    setting_label,
)
from impasto.studio.routes import visitor_address
from impasto.studio.service import (
    EXAMPLE_PAINTINGS,
    EXAMPLE_PHOTOS,
    FormPrefill,
    StudioService,
    given_in_recipe,
)
from impasto.studio.uploads import MAX_PAINTINGS, as_jpeg_url, read_picture

SLIDER_RANGES = {"tv_weight": (0.0, 5.0, 0.02)}  # of settings without a maximum
MAX_SLIDER_SPAN = 100  # of a setting's range, to be a slider
SLIDER_STEPS = 50  # at least
TOP_FIELDS = ("tv_weight", "color", "color_strength", "size", "preset")
PICTURE_TYPES = ["image", *IMAGE_SUFFIXES]
DROP_HEIGHT = 116  # pixels
PRINT_CENTIMETERS, PRINT_DPI = (1, 300), (50, 600)
CENTIMETERS_PER_INCH = 2.54
DEFAULT_VARIATIONS = "style_weight=0.3,1,3\nstyle_size=0.5,1"
BALANCE_LABEL = "Photo or painting"
BALANCE_HELP = "0: almost the photo; 100: almost the paintings alone"
NO_INPUTS = "Choose a photo and a painting first."

QUIET_EVENT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
EXPECT_NEW_JOB = "() => window.impasto && window.impasto.expectNewJob()"
SELECT_EXAMPLE = """
element.addEventListener('click', event => {
  const button = event.target.closest('button.example');
  if (button) trigger('select', {name: button.dataset.name});
});
"""


# What the panels share


def make_html(value: str, **options: Any) -> gr.HTML:
    """Make a part of the page that only the studio's own style applies to."""
    return gr.HTML(value, apply_default_css=False, **options)


def render_info(text: str) -> str:
    """Return a message as HTML."""
    return f'<p role="status" class="message-info">{html.escape(text)}</p>' if text else ""


def render_error(text: str) -> str:
    """Return an error message as HTML."""
    return f'<p role="alert" class="message-error">{html.escape(text)}</p>'


def skip_all(outputs: Sequence[Any]) -> list[Any]:
    """Return the values that leave all outputs as they are."""
    return [gr.skip() for _ in outputs]


def show_errors(handler: Callable[..., Any], outputs: int = 1) -> Callable[..., Any]:
    """Wrap an event handler so that its ImpastoError is shown in the last of its outputs."""

    @wraps(handler)
    def handle(*values: Any, **options: Any) -> Any:
        try:
            return handler(*values, **options)
        except ImpastoError as error:
            message = render_error(page_message(error))
            return message if outputs == 1 else [*skip_all(range(outputs - 1)), message]

    return handle


def ignore_errors(handler: Callable[..., list[Any]], outputs: int) -> Callable[..., Any]:
    """Wrap an event handler so that invalid input is ignored; the part that displays it reports the error."""

    @wraps(handler)
    def handle(*values: Any) -> Any:
        try:
            return handler(*values)
        except ImpastoError:
            return skip_all(range(outputs))

    return handle


def connect_script(call: str) -> str:
    """Return a script that calls a function of the page's script, now or once it is there."""
    return (
        f"window.impastoReady = window.impastoReady || []; const go = () => window.impasto.{call}; "
        "window.impasto ? go() : window.impastoReady.push(go);"
    )


class InputPanel:
    """The photo and the paintings: places to drop them, small copies of them, and examples."""

    def __init__(self, service: StudioService) -> None:
        self.service = service
        make_html("<h2>Photo</h2>")
        self.photo = make_drop("Photo", "photo")
        self.photo_preview = make_html("", elem_id="photo-preview")
        photo_examples = _make_examples(EXAMPLE_PHOTOS, "photo")
        make_html("<h2>Paintings</h2>")
        self.paintings = make_drop("Paintings", "paintings", file_count="multiple")
        self.paintings_preview = make_html("", elem_id="paintings-preview")
        painting_examples = _make_examples(EXAMPLE_PAINTINGS, "painting")
        self.outputs = [self.photo, self.photo_preview, self.paintings, self.paintings_preview]

        def set_photo(event: gr.EventData) -> str:
            return service.copy_example(_selected_name(event))

        def add_painting(event: gr.EventData, paintings: Any) -> list[str]:
            return [*(paintings or []), service.copy_example(_selected_name(event))]

        show_previews = show_errors(self.render_previews)
        self.photo.change(show_previews, self.photo, self.photo_preview, **QUIET_EVENT)
        self.paintings.change(show_previews, self.paintings, self.paintings_preview, **QUIET_EVENT)
        photo_examples.select(set_photo, None, self.photo, **QUIET_EVENT)
        painting_examples.select(add_painting, self.paintings, self.paintings, **QUIET_EVENT)

    def render_previews(self, given: Any) -> str:
        """Return small copies of the chosen file or files as HTML."""
        figures = []
        for file in (given if isinstance(given, list) else [given] if given else [])[:MAX_PAINTINGS]:
            path, thumbnail = self.service.load_picture(file)
            figures.append(f'<figure><img src="{as_jpeg_url(thumbnail)}" alt="{html.escape(path.name)}"></figure>')
        return f'<div class="thumbnails">{"".join(figures)}</div>' if figures else ""

    def fill_inputs(self, photo: str, paintings: list[str]) -> list[Any]:
        """Return new values for `outputs`."""
        return [photo, self.render_previews(photo), paintings, self.render_previews(paintings)]


def make_drop(label: str, elem_id: str, **options: Any) -> gr.File:
    """Make a place to drop files."""
    return gr.File(
        label=label,
        show_label=False,
        height=DROP_HEIGHT,
        elem_id=elem_id,
        **{"file_types": PICTURE_TYPES, **options},
    )


def _make_examples(names: Sequence[str], what: str) -> gr.HTML:
    def render_button(name: str) -> str:
        title = name.removesuffix(".jpg").replace("_", " ")
        return (
            f'<button type="button" class="example" data-name="{name}" aria-label="Example {what}: {title}" '
            f'title="{title}"><img src="studio/examples/{name}" alt="" loading="lazy"></button>'
        )

    value = f'<div class="examples"><span>Or take</span>{"".join(map(render_button, names))}</div>'
    return make_html(value, js_on_load=SELECT_EXAMPLE, elem_id=f"{what}-examples")


def _selected_name(event: gr.EventData) -> str:
    return str((event._data or {}).get("name"))


class SettingsForm:
    """A field for every setting: the most useful ones on top, the others under their headings.

    `inputs` are all fields, in the order that `read_values` takes their values in.
    """

    def __init__(self) -> None:
        defaults, known = field_values(Settings()), form_fields()
        self.balance = gr.Slider(
            0, 100, MIDDLE, step=1, label="Photo or painting", info=BALANCE_HELP, elem_id="balance"
        )
        self.blend = [
            gr.Slider(0, 1, 1, step=0.05, label=f"How much of painting {n}", visible=False, elem_id=f"blend-{n}")
            for n in range(1, MAX_PAINTINGS + 1)
        ]
        stroke_help = "size of the strokes; 1: as set"
        self.stroke_scale = gr.Slider(
            *STROKE_RANGE, 1, step=0.05, label="Stroke size", info=stroke_help, elem_id="strokes"
        )
        self.fields = {name: make_field(known[name], defaults[name]) for name in TOP_FIELDS}
        with gr.Accordion("All settings", open=False, elem_id="all-settings"):
            others = [field for name, field in known.items() if name not in (*TOP_FIELDS, "style_blend")]
            for heading in dict.fromkeys(field.group for field in others):
                with gr.Accordion(heading, open=False):
                    in_group = [field for field in others if field.group == heading]
                    self.fields |= {field.name: make_field(field, defaults[field.name]) for field in in_group}
        sliders = [self.balance, self.stroke_scale, *self.blend]
        self.inputs = [*sliders, *self.fields.values()]
        self.live_inputs = [*sliders, *(field for name, field in self.fields.items() if name in STEERABLE)]
        self._connect()

    def _connect(self) -> None:
        def follow_preset(preset: Any) -> list[Any]:
            return [MIDDLE, *self._fill_settings(Settings(preset=preset))]

        def follow_color(color: str) -> Any:
            return gr.update(visible=color != "none")

        # Not `input`: Gradio sends that whenever the field is left, and all that was set by hand would be lost.
        preset = self.fields["preset"]
        preset.select(follow_preset, preset, [self.balance, *self.fields.values()], **QUIET_EVENT)
        self.fields["color"].change(follow_color, self.fields["color"], self.fields["color_strength"], **QUIET_EVENT)

    def read_values(self, values: Sequence[Any], paintings: int) -> dict[str, Any]:
        """Return settings from the values of the input components, in the order of `self.inputs`."""
        balance, stroke_scale, *others = values
        blend = tuple(float(weight or 0) for weight in others[:paintings])
        return read_form(
            dict(zip(self.fields, others[MAX_PAINTINGS:], strict=True)),
            balance=MIDDLE if balance is None else float(balance),
            stroke_scale=float(stroke_scale or 1),
            blend=blend,
        )

    def show_blend_sliders(self, paintings: int) -> list[Any]:
        """Show a slider for each painting if there are several."""
        return [gr.update(visible=number < paintings > 1) for number in range(MAX_PAINTINGS)]

    def fill_fields(self, settings: Settings, paintings: int) -> list[Any]:
        """Return new values for `inputs` that mean these settings."""
        weights = [*settings.style_blend, *[1.0] * MAX_PAINTINGS][:MAX_PAINTINGS]
        blend = [
            gr.update(value=weight, maximum=max(weights), visible=number < paintings > 1)
            for number, weight in enumerate(weights)
        ]
        return [MIDDLE, 1, *blend, *self._fill_settings(settings)]

    def _fill_settings(self, settings: Settings) -> list[Any]:
        values, updates = field_values(settings), []
        for name in self.fields:
            limits = {}
            if name in SLIDER_RANGES:
                low, high, _ = SLIDER_RANGES[name]
                limits = {"minimum": min(low, values[name]), "maximum": max(high, values[name])}
            updates.append(gr.update(value=values[name], **limits))
        return updates


def make_field(field: FormField, value: Any) -> Any:
    """Make the input of a setting."""
    options: dict[str, Any] = {"label": field.label, "info": field.help, "elem_id": f"setting-{field.name}"}
    if slider := _find_slider(field, value):
        low, high, step = slider
        return gr.Slider(low, high, value, step=step, visible=field.name != "color_strength", **options)
    if field.kind == "choice":
        return gr.Dropdown(list(field.choices), value=value, filterable=False, **options)
    if field.kind == "checkbox":
        return gr.Checkbox(value, **options)
    if field.kind in ("weights", "text"):
        return gr.Textbox(value, max_lines=3, **options)
    precision: dict[str, Any] = {"precision": 0} if field.kind == "integer" else {}
    return gr.Number(value, **precision, **options)  # without limits, which Gradio enforces without a message


def _find_slider(field: FormField, value: Any) -> tuple[float, float, float] | None:
    """Return a slider's lowest and highest value and its step, if the setting's range is small enough for one."""
    if field.name in SLIDER_RANGES:
        return SLIDER_RANGES[field.name]
    if field.kind != "number" or field.minimum is None or field.maximum is None:
        return None
    span = field.maximum - field.minimum
    step = 10.0 ** math.floor(math.log10(span / SLIDER_STEPS))
    is_too_fine = value != field.minimum and value < field.minimum + step
    return None if is_too_fine or span > MAX_SLIDER_SPAN else (field.minimum, field.maximum, step)


class MaskPanel:
    """Masks brushed on the photo: which painting goes where, and what stays as it is."""

    def __init__(self, service: StudioService, inputs: InputPanel) -> None:
        self.service = service
        self.brushed = gr.Textbox("", visible=False)
        with gr.Accordion("Brush where", open=False, elem_id="masks"):
            make_html("<p>Brush which painting goes where, and what stays as it is in the photo.</p>")
            self.editor = make_html(
                mask_editor.render_editor(None),
                elem_id="mask-editor",
                js_on_load=connect_script("mountMaskEditor(element, trigger, watch)"),
            )
            find = gr.Button("Begin with regions that are found", elem_id="find-regions")
            message = make_html("", elem_id="mask-message")
        self.outputs = [self.brushed, self.editor]

        def reset(photo: Any, paintings: Any, brushed: str) -> list[Any]:
            if photo and brushed and Path(brushed).parents[1] == Path(photo).parents[1]:  # both came with a prefill
                return skip_all(self.outputs)
            thumbnail = service.load_picture(photo)[1] if photo else None
            return ["", mask_editor.render_editor(thumbnail, len(paintings or []))]

        def save(event: gr.EventData) -> list[Any]:
            path = mask_editor.save_brushed(dict(event._data or {}).get("data"), service.store.uploads)
            return [str(path or ""), ""]

        def suggest(photo: Any, paintings: Any) -> list[Any]:
            if not photo or not paintings:
                raise UsageError(NO_INPUTS)
            path, thumbnail = service.load_picture(photo)
            found = mask_editor.suggest_regions(read_picture(path), min(len(paintings), MAX_PAINTINGS))
            saved = mask_editor.save_brushed(found, service.store.uploads)
            return [str(saved), mask_editor.render_editor(thumbnail, len(paintings), found), ""]

        chosen = [inputs.photo, inputs.paintings]
        for source in chosen:
            source.change(ignore_errors(reset, 2), [*chosen, self.brushed], self.outputs, **QUIET_EVENT)
        self.editor.input(show_errors(save, 2), None, [self.brushed, message], **QUIET_EVENT)
        find.click(show_errors(suggest, 3), chosen, [*self.outputs, message], **QUIET_EVENT)

    def fill_masks(self, prefill: FormPrefill) -> list[Any]:
        """Return new values for `outputs`."""
        thumbnail = self.service.load_picture(prefill.photo)[1]
        brushed = mask_editor.as_data_url(Path(prefill.brushed)) if prefill.brushed else ""
        return [prefill.brushed, mask_editor.render_editor(thumbnail, len(prefill.paintings), brushed)]


class ExtraPanels:
    """The button, and the panels below: small pictures to choose from, prints, many inputs, settings of a picture."""

    def __init__(self, service: StudioService, inputs: InputPanel, form: SettingsForm) -> None:
        self.service, self.inputs, self.form = service, inputs, form
        self.message = make_html("", elem_id="message")
        with gr.Row(elem_classes="studio-go"):
            self.paint = gr.Button("Paint", variant="primary", elem_id="paint")
        with gr.Accordion("Choose by eye", open=False, elem_id="by-eye"):
            make_html(
                "<p>Small pictures side by side, each painted in another way. Then go on with the one you like.</p>"
            )
            vary_help = "one setting a line, as in style_weight=0.3,1,3"
            self.vary = gr.Textbox(DEFAULT_VARIATIONS, lines=2, max_lines=4, label="What to vary", info=vary_help)
            self.sheet = gr.Button("Paint small pictures", elem_id="sheet")
        with gr.Accordion("Print size", open=False, elem_id="print-size"):
            self.centimeters = gr.Number(30, label="Longer side in centimetres")
            self.dpi = gr.Number(200, precision=0, label="Pixels per inch")
            self.plan = make_html("", elem_id="plan")
            with gr.Row():
                self.show_plan = gr.Button("Show the plan", elem_id="show-plan")
                self.print = gr.Button("Paint it large", elem_id="print")
        with gr.Accordion("Many photos, films", open=False, elem_id="many"):
            make_html("<p>Each becomes a picture, or a film, in the queue, with the paintings and settings above.</p>")
            types = [*PICTURE_TYPES, "video"]
            self.many = make_drop("Photos and films", "many-files", file_types=types, file_count="multiple")
            self.paint_all = gr.Button("Paint them all", elem_id="paint-all")
        with gr.Accordion("Settings from a painted picture", open=False, elem_id="from-picture"):
            make_html("<p>Pictures painted by impasto carry how they were painted. Drop one here to go on from it.</p>")
            self.painted = make_drop("Painted picture", "painted")

    def connect_buttons(self, brushed: gr.Textbox) -> None:
        """Connect the buttons; `brushed` has the path of the brushed masks."""
        values = [brushed, self.inputs.photo, self.inputs.paintings, *self.form.inputs]
        for button in (self.paint, self.sheet, self.print, self.paint_all):
            button.click(None, js=EXPECT_NEW_JOB, api_visibility="private")
        self.paint.click(show_errors(self._submit), values, self.message, **QUIET_EVENT)
        self.sheet.click(show_errors(self._submit_sheet), [self.vary, *values], self.message, **QUIET_EVENT)
        self.paint_all.click(show_errors(self._submit_many), [self.many, *values], self.message, **QUIET_EVENT)
        size = [self.centimeters, self.dpi, *values]
        for button, action in ((self.show_plan, self._plan_print), (self.print, self._submit_print)):
            button.click(lambda: render_info("Measuring what it takes …"), None, self.plan, **QUIET_EVENT).then(
                show_errors(action), size, self.plan, **QUIET_EVENT
            )

    def _read(self, values: Sequence[Any]) -> tuple[str, Any, list[Any], dict[str, Any]]:
        """Return brushed masks, photo, paintings and settings out of the values of `connect_buttons`."""
        brushed, photo, paintings, *fields = values
        return brushed, photo, paintings or [], self.form.read_values(fields, len(paintings or []))

    def _submit(self, request: gr.Request, *values: Any, vary: str = "") -> str:
        brushed, photo, paintings, given = self._read(values)
        visitor = visitor_address(request)
        self.service.submit_painting(photo, paintings, given, visitor=visitor, vary=vary, brushed=brushed)
        return ""

    def _submit_sheet(self, request: gr.Request, vary: str, *values: Any) -> str:
        return self._submit(request, *values, vary=vary or DEFAULT_VARIATIONS)

    def _submit_many(self, request: gr.Request, many: Any, *values: Any) -> str:
        _, _, paintings, given = self._read(values)
        count = self.service.submit_many(many or [], paintings, given, visitor=visitor_address(request))
        return render_info(f"{count} in the queue.")

    def _plan_print(self, centimeters: Any, dpi: Any, *values: Any) -> str:
        _, photo, paintings, given = self._read_print(centimeters, dpi, values)
        return render_info(self.service.plan_painting(photo, paintings, given))

    def _submit_print(self, request: gr.Request, centimeters: Any, dpi: Any, *values: Any) -> str:
        brushed, photo, paintings, given = self._read_print(centimeters, dpi, values)
        plan, visitor = self.service.plan_painting(photo, paintings, given), visitor_address(request)
        self.service.submit_painting(photo, paintings, given, visitor=visitor, brushed=brushed, plan=plan)
        return render_info(plan)

    def _read_print(
        self, centimeters: Any, dpi: Any, values: Sequence[Any]
    ) -> tuple[str, Any, list[Any], dict[str, Any]]:
        """Return the same as `_read`, with the size of a print."""
        brushed, photo, paintings, given = self._read(values)
        if not photo or not paintings:
            raise UsageError(NO_INPUTS)
        for value, (low, high), what in ((centimeters, PRINT_CENTIMETERS, "longer side"), (dpi, PRINT_DPI, "density")):
            if not low <= float(value or 0) <= high:
                raise UsageError(f"The {what} of a print is {low} to {high}.")
        size = round(float(centimeters) / CENTIMETERS_PER_INCH * float(dpi))
        return brushed, photo, paintings, {**given, "size": size}

    def connect_prefill(self, outputs: list[Any]) -> None:
        """Fill the page when a painted picture is dropped; `outputs` are masks, inputs, form and message."""

        def prefill(painted: Any) -> list[Any]:
            if not painted:
                return skip_all(outputs)
            recipe = self.service.read_recipe(painted)
            given = given_in_recipe(recipe)
            settings = check_settings({name: value for name, value in given.items() if name in form_fields()})
            found = self.service.find_inputs(recipe)
            inputs = self.inputs.fill_inputs(*found) if found else skip_all(self.inputs.outputs)
            form = self.form.fill_fields(settings, len(recipe.paintings))
            left_out = sorted(given.keys() - form_fields().keys())
            return [gr.skip(), gr.skip(), *inputs, *form, render_info(_describe_prefill(recipe, left_out, bool(found)))]

        self.painted.upload(show_errors(prefill, len(outputs)), self.painted, outputs, **QUIET_EVENT)


def _describe_prefill(recipe: Recipe, left_out: Sequence[str], has_inputs: bool) -> str:
    message = "Its settings are in the form."
    if left_out:
        message += f" Left out: {', '.join(map(setting_label, left_out))}."
    if has_inputs:
        return f"{message} So are its photo and paintings."
    names = [str(file.name) for role, file in recipe.iterate_files() if role.startswith(("photo", "painting"))]
    return f"{message} It was painted from {', '.join(names)}: drop them above."
