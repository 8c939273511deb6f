"""Parts of the page: by eye, at print size, many at once, from a painted picture."""

from typing import Any

import gradio as gr

from impasto.apps.studio import knobs
from impasto.apps.studio.desk import Desk
from impasto.apps.studio.fields import Form
from impasto.apps.studio.materials import ACCEPTED, Materials
from impasto.apps.studio.messages import QUIET, SHOW_NEW, html_part, said, tell, visitor
from impasto.errors import UsageError

CENTIMETRES, DENSITIES = (1, 300), (50, 600)  # of prints; pixels per inch
VARY = "style_weight=0.3,1,3\nstyle_size=0.5,1"


class More:
    """What stands below the button: by eye, at print size, many at once, from a picture."""

    def __init__(self, desk: Desk, materials: Materials, form: Form, message: gr.HTML) -> None:
        self.desk, self.materials, self.form, self.message = desk, materials, form, message
        with gr.Accordion("Choose by eye", open=False, elem_id="by-eye"):
            html_part(
                "<p>Small pictures side by side, each painted in another way. Then go on with the one you like.</p>"
            )
            self.vary = gr.Textbox(
                VARY, lines=2, max_lines=4, label="What to vary", info="one setting a line, as in style_weight=0.3,1,3"
            )
            self.sheet = gr.Button("Paint small pictures", elem_id="sheet")
        with gr.Accordion("Print size", open=False, elem_id="print-size"):
            self.width = gr.Number(30, label="Longer side in centimetres")
            self.density = gr.Number(200, precision=0, label="Pixels per inch")
            self.plan = html_part("", elem_id="plan")
            with gr.Row():
                self.look = gr.Button("Show the plan", elem_id="show-plan")
                self.print = gr.Button("Paint it large", elem_id="print")
        with gr.Accordion("Many photos, films", open=False, elem_id="many"):
            html_part("<p>Each becomes a picture, or a film, in the queue, with the paintings and settings above.</p>")
            self.many = gr.File(
                label="Photos and films",
                show_label=False,
                file_types=[*ACCEPTED, "video"],
                file_count="multiple",
                height=116,
                elem_id="many-files",
            )
            self.each = gr.Button("Paint them all", elem_id="paint-all")
        with gr.Accordion("Settings from a painted picture", open=False, elem_id="from-picture"):
            html_part("<p>Pictures painted by impasto carry how they were painted. Drop one here to go on from it.</p>")
            self.painted = gr.File(
                label="Painted picture", show_label=False, file_types=ACCEPTED, height=116, elem_id="painted"
            )

    def connect(self, values: list[Any]) -> None:
        """Say what the buttons do."""
        desk, form = self.desk, self.form

        def order_sheet(request: gr.Request, vary: str, brushed: str, photo: Any, paintings: Any, *rest: Any) -> str:
            given = form.read(rest, len(paintings or []))
            desk.order(photo, paintings or [], given, visitor=visitor(request), vary=vary or VARY, brushed=brushed)
            return ""

        def enlarge(width: Any, density: Any, photo: Any, paintings: Any, *rest: Any) -> dict[str, Any]:
            if not photo or not paintings:
                raise UsageError("Choose a photo and a painting first.")
            for value, (low, high), what in ((width, CENTIMETRES, "longer side"), (density, DENSITIES, "density")):
                if not low <= float(value or 0) <= high:
                    raise UsageError(f"The {what} of a print is {low} to {high}.")
            size = round(float(width) / 2.54 * float(density))
            return {**form.read(rest, len(paintings)), "size": size}

        def show_plan(width: Any, density: Any, _: str, photo: Any, paintings: Any, *rest: Any) -> str:
            return tell(desk.plan(photo, paintings, enlarge(width, density, photo, paintings, *rest)))

        def order_print(
            request: gr.Request, width: Any, density: Any, brushed: str, photo: Any, paintings: Any, *rest: Any
        ) -> str:
            given = enlarge(width, density, photo, paintings, *rest)
            plan = desk.plan(photo, paintings, given)
            desk.order(photo, paintings, given, visitor=visitor(request), brushed=brushed, plan=plan)
            return tell(plan)

        def measure() -> str:
            return tell("Measuring what it takes …")

        def order_many(request: gr.Request, many: Any, _: str, __: Any, paintings: Any, *rest: Any) -> str:
            given = form.read(rest, len(paintings or []))
            count = desk.order_many(many or [], paintings or [], given, visitor=visitor(request))
            return tell(f"{count} in the queue.")

        for button in (self.sheet, self.print, self.each):
            button.click(None, js=SHOW_NEW, api_visibility="private")
        self.sheet.click(said(order_sheet), [self.vary, *values], self.message, **QUIET)
        self.each.click(said(order_many), [self.many, *values], self.message, **QUIET)
        size = [self.width, self.density, *values]
        for button, action in ((self.look, show_plan), (self.print, order_print)):
            button.click(measure, None, self.plan, **QUIET).then(said(action), size, self.plan, **QUIET)

    def connect_reopening(self, outputs: list[Any]) -> None:
        """Say what becomes of a painted picture that is dropped."""
        materials, form, desk = self.materials, self.form, self.desk

        def take(painted: Any) -> list[Any]:
            if not painted:
                return [gr.skip() for _ in outputs]
            recipe = desk.read_picture(painted)
            given = recipe.settings.model_dump(mode="json", include=set(recipe.given))
            left_out = sorted(set(given) - set(knobs.knobs()))
            settings = knobs.check({name: it for name, it in given.items() if name in knobs.knobs()})
            found = desk.find_inputs(recipe)
            names = ", ".join(
                str(it.name) for role, it in recipe.ingredients() if role.startswith(("photo", "painting"))
            )
            said = "Its settings are in the form."
            if left_out:
                said += f" Left out: {', '.join(map(knobs.label, left_out))}."
            said += " So are its photo and paintings." if found else f" It was painted from {names}: drop them above."
            filled = materials.fill(*found) if found else [gr.skip() for _ in materials.outputs]
            filled = [gr.skip(), gr.skip(), *filled]
            return [*filled, *form.fill(settings, len(recipe.paintings)), tell(said)]

        self.painted.upload(said(take, len(outputs)), self.painted, outputs, **QUIET)
