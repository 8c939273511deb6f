"""Parts of the page: by eye, at print size, many at once, from a painted picture."""

from typing import Any

import gradio as gr

from impasto.errors import UsageError
from impasto.studio import form_fields
from impasto.studio.form import SettingsForm
from impasto.studio.input_panels import PICTURE_TYPES, InputPanel
from impasto.studio.page_parts import EXPECT_NEW_JOB, QUIET_EVENT, make_html, render_info, show_errors, visitor_address
from impasto.studio.service import StudioService

PRINT_CENTIMETERS, PRINT_DPI = (1, 300), (50, 600)  # of prints; pixels per inch
DEFAULT_VARIATIONS = "style_weight=0.3,1,3\nstyle_size=0.5,1"


class ExtraPanels:
    """What stands below the button: by eye, at print size, many at once, from a picture."""

    def __init__(self, service: StudioService, materials: InputPanel, form: SettingsForm, message: gr.HTML) -> None:
        self.service, self.materials, self.form, self.message = service, materials, form, message
        with gr.Accordion("Choose by eye", open=False, elem_id="by-eye"):
            make_html(
                "<p>Small pictures side by side, each painted in another way. Then go on with the one you like.</p>"
            )
            self.vary = gr.Textbox(
                DEFAULT_VARIATIONS,
                lines=2,
                max_lines=4,
                label="What to vary",
                info="one setting a line, as in style_weight=0.3,1,3",
            )
            self.sheet = gr.Button("Paint small pictures", elem_id="sheet")
        with gr.Accordion("Print size", open=False, elem_id="print-size"):
            self.width = gr.Number(30, label="Longer side in centimetres")
            self.density = gr.Number(200, precision=0, label="Pixels per inch")
            self.plan = make_html("", elem_id="plan")
            with gr.Row():
                self.look = gr.Button("Show the plan", elem_id="show-plan")
                self.print = gr.Button("Paint it large", elem_id="print")
        with gr.Accordion("Many photos, films", open=False, elem_id="many"):
            make_html("<p>Each becomes a picture, or a film, in the queue, with the paintings and settings above.</p>")
            self.many = gr.File(
                label="Photos and films",
                show_label=False,
                file_types=[*PICTURE_TYPES, "video"],
                file_count="multiple",
                height=116,
                elem_id="many-files",
            )
            self.each = gr.Button("Paint them all", elem_id="paint-all")
        with gr.Accordion("Settings from a painted picture", open=False, elem_id="from-picture"):
            make_html("<p>Pictures painted by impasto carry how they were painted. Drop one here to go on from it.</p>")
            self.painted = gr.File(
                label="Painted picture", show_label=False, file_types=PICTURE_TYPES, height=116, elem_id="painted"
            )

    def connect_buttons(self, values: list[Any]) -> None:
        """Say what the buttons do."""
        desk, form = self.service, self.form

        def order_sheet(request: gr.Request, vary: str, brushed: str, photo: Any, paintings: Any, *rest: Any) -> str:
            given = form.read_values(rest, len(paintings or []))
            desk.submit_painting(
                photo,
                paintings or [],
                given,
                visitor=visitor_address(request),
                vary=vary or DEFAULT_VARIATIONS,
                brushed=brushed,
            )
            return ""

        def enlarge(width: Any, density: Any, photo: Any, paintings: Any, *rest: Any) -> dict[str, Any]:
            if not photo or not paintings:
                raise UsageError("Choose a photo and a painting first.")
            for value, (low, high), what in (
                (width, PRINT_CENTIMETERS, "longer side"),
                (density, PRINT_DPI, "density"),
            ):
                if not low <= float(value or 0) <= high:
                    raise UsageError(f"The {what} of a print is {low} to {high}.")
            size = round(float(width) / 2.54 * float(density))
            return {**form.read_values(rest, len(paintings)), "size": size}

        def show_plan(width: Any, density: Any, _: str, photo: Any, paintings: Any, *rest: Any) -> str:
            return render_info(desk.plan_painting(photo, paintings, enlarge(width, density, photo, paintings, *rest)))

        def order_print(
            request: gr.Request, width: Any, density: Any, brushed: str, photo: Any, paintings: Any, *rest: Any
        ) -> str:
            given = enlarge(width, density, photo, paintings, *rest)
            plan = desk.plan_painting(photo, paintings, given)
            desk.submit_painting(photo, paintings, given, visitor=visitor_address(request), brushed=brushed, plan=plan)
            return render_info(plan)

        def measure() -> str:
            return render_info("Measuring what it takes …")

        def order_many(request: gr.Request, many: Any, _: str, __: Any, paintings: Any, *rest: Any) -> str:
            given = form.read_values(rest, len(paintings or []))
            count = desk.submit_many(many or [], paintings or [], given, visitor=visitor_address(request))
            return render_info(f"{count} in the queue.")

        for button in (self.sheet, self.print, self.each):
            button.click(None, js=EXPECT_NEW_JOB, api_visibility="private")
        self.sheet.click(show_errors(order_sheet), [self.vary, *values], self.message, **QUIET_EVENT)
        self.each.click(show_errors(order_many), [self.many, *values], self.message, **QUIET_EVENT)
        size = [self.width, self.density, *values]
        for button, action in ((self.look, show_plan), (self.print, order_print)):
            button.click(measure, None, self.plan, **QUIET_EVENT).then(
                show_errors(action), size, self.plan, **QUIET_EVENT
            )

    def connect_prefill(self, outputs: list[Any]) -> None:
        """Say what becomes of a painted picture that is dropped."""
        materials, form, desk = self.materials, self.form, self.service

        def take(painted: Any) -> list[Any]:
            if not painted:
                return [gr.skip() for _ in outputs]
            recipe = desk.read_recipe(painted)
            given = recipe.settings.model_dump(mode="json", include=set(recipe.given))
            left_out = sorted(set(given) - set(form_fields.form_fields()))
            settings = form_fields.check_settings(
                {name: it for name, it in given.items() if name in form_fields.form_fields()}
            )
            found = desk.find_inputs(recipe)
            names = ", ".join(
                str(it.name) for role, it in recipe.iterate_files() if role.startswith(("photo", "painting"))
            )
            said = "Its settings are in the form."
            if left_out:
                said += f" Left out: {', '.join(map(form_fields.setting_label, left_out))}."
            said += " So are its photo and paintings." if found else f" It was painted from {names}: drop them above."
            filled = materials.fill_inputs(*found) if found else [gr.skip() for _ in materials.outputs]
            filled = [gr.skip(), gr.skip(), *filled]
            return [*filled, *form.fill_fields(settings, len(recipe.paintings)), render_info(said)]

        self.painted.upload(show_errors(take, len(outputs)), self.painted, outputs, **QUIET_EVENT)
