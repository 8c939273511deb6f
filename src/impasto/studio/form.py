"""The form: a field for every knob, those that matter most on top, the rest under their headings."""

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from impasto.settings.changes import STEERABLE
from impasto.settings.model import Settings
from impasto.studio import form_fields
from impasto.studio.form_fields import STROKE_RANGE, FormField
from impasto.studio.uploads import MAX_PAINTINGS

SLIDER_RANGES = {"tv_weight": (0.0, 5.0, 0.02)}  # those with bounds of their own are sliders anyway
MAX_SLIDER_SPAN = 100  # range of a slider
TOP_FIELDS = ("tv_weight", "color", "color_strength", "size", "preset")
SEPARATE_FIELDS = ("balance", "style_blend")


class SettingsForm:
    """The fields of the settings. `inputs` are all of them, in the order that `read` takes their values in."""

    def __init__(self) -> None:
        start = form_fields.field_values(Settings())
        known = form_fields.form_fields()
        self.fields: dict[str, Any] = {"balance": make_field(known["balance"], start["balance"])}
        self.blend = [
            gr.Slider(
                0, 1, 1, step=0.05, label=f"How much of painting {number}", visible=False, elem_id=f"blend-{number}"
            )
            for number in range(1, MAX_PAINTINGS + 1)
        ]
        self.strokes = gr.Slider(
            *STROKE_RANGE, 1, step=0.05, label="Stroke size", info="size of the strokes; 1: as set", elem_id="strokes"
        )
        for name in TOP_FIELDS:
            self.fields[name] = make_field(known[name], start[name])
        rest = [knob for knob in known.values() if knob.name not in {*self.fields, *SEPARATE_FIELDS}]
        with gr.Accordion("All settings", open=False, elem_id="all-settings"):
            for heading in dict.fromkeys(knob.group for knob in rest):
                with gr.Accordion(heading, open=False):
                    for knob in rest:
                        if knob.group == heading:
                            self.fields[knob.name] = make_field(knob, start[knob.name])
        self.inputs = [self.strokes, *self.blend, *self.fields.values()]
        self.outputs = self.inputs
        self.live_inputs = [
            self.strokes,
            *self.blend,
            *(field for name, field in self.fields.items() if name in STEERABLE),
        ]
        self._connect()

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

        def follow_preset(preset: str) -> list[Any]:
            return self.fill_fields(Settings(preset=preset), None)[1 + MAX_PAINTINGS :]  # type: ignore[arg-type]

        # Not its input: Gradio tells of one whenever the field is left, and all that was set by hand would be gone.
        self.fields["preset"].select(follow_preset, self.fields["preset"], [*self.fields.values()], **quiet)

        def follow_color(color: str) -> Any:
            return gr.update(visible=color != "none")

        self.fields["color"].change(follow_color, self.fields["color"], self.fields["color_strength"], **quiet)

    def read_values(self, values: Sequence[Any], paintings: int) -> dict[str, Any]:
        """Take the settings out of the values of `inputs`."""
        strokes, blend = float(values[0] or 1.0), values[1 : 1 + MAX_PAINTINGS]
        fields = dict(zip(self.fields, values[1 + MAX_PAINTINGS :], strict=True))
        return form_fields.read_form(fields, strokes, tuple(float(it or 0) for it in blend[:paintings]))

    def show_blend_sliders(self, paintings: int) -> list[Any]:
        """Show a slider for each painting, where there are several."""
        return [gr.update(visible=paintings > 1 and number <= paintings) for number in range(1, MAX_PAINTINGS + 1)]

    def fill_fields(self, settings: Settings, paintings: int | None) -> list[Any]:
        """Give new values for `outputs`, exactly those of some settings."""
        values = form_fields.field_values(settings)
        blend: list[Any] = []
        weights = list(settings.style_blend)
        most = max([*weights, 1.0])
        for number in range(1, MAX_PAINTINGS + 1):
            value = weights[number - 1] if number <= len(weights) else 1.0
            visible: dict[str, Any] = {} if paintings is None else {"visible": paintings > 1 and number <= paintings}
            blend.append(gr.update(value=value, maximum=most, **visible))
        fields = []
        for name in self.fields:
            value = values[name]
            bounds = {}
            if name in SLIDER_RANGES:
                low, high, _ = SLIDER_RANGES[name]
                bounds = {"minimum": min(low, value), "maximum": max(high, value)}
            fields.append(gr.update(value=value, **bounds))
        return [1, *blend, *fields]


def make_field(knob: FormField, value: Any) -> Any:
    """Make the field of a knob."""
    words: dict[str, Any] = {"label": knob.label, "info": knob.help, "elem_id": f"knob-{knob.name}"}
    if slider := _find_slider(knob, value):
        low, high, step = slider
        return gr.Slider(low, high, value, step=step, visible=knob.name != "color_strength", **words)
    if knob.kind == "choice":
        return gr.Dropdown(list(knob.choices), value=value, filterable=False, **words)
    if knob.kind == "yes":
        return gr.Checkbox(value, **words)
    if knob.kind in ("weights", "text"):
        return gr.Textbox(value, max_lines=3, **words)
    whole: dict[str, Any] = {"precision": 0} if knob.kind == "whole" else {}
    return gr.Number(value, **whole, **words)  # without bounds, which Gradio keeps without a word about them


def _find_slider(knob: FormField, value: Any) -> tuple[float, float, float] | None:
    """Give the lowest, highest and step of a slider, where the knob's range is small enough for one."""
    if knob.name in SLIDER_RANGES:
        return SLIDER_RANGES[knob.name]
    if knob.kind != "number" or knob.minimum is None or knob.maximum is None:
        return None
    step = 10.0 ** math.floor(math.log10((knob.maximum - knob.minimum) / 50))
    fine = value != knob.minimum and value < knob.minimum + step  # too fine to be set with a slider
    return None if fine or knob.maximum - knob.minimum > MAX_SLIDER_SPAN else (knob.minimum, knob.maximum, step)
