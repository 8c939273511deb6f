"""The page: what stands where, and what happens when something is chosen, moved or pressed."""

import html
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import gradio as gr

from impasto.apps.studio import knobs, uploads
from impasto.apps.studio.desk import EXAMPLE_PAINTINGS, EXAMPLE_PHOTOS, Desk
from impasto.apps.studio.fields import Form
from impasto.apps.studio.foresight import foresee
from impasto.apps.studio.interface import offer
from impasto.apps.studio.words import in_page_words
from impasto.errors import ImpastoError, UsageError

TITLE = "impasto studio"
HEAD = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="stylesheet" href="studio/studio.css"><script src="studio/studio.js" defer></script>'
)
ACCEPTED = ["image", ".jp2", ".ppm", ".tif", ".tiff", ".webp", ".bmp"]
IDENTITY = "(...values) => [...values.slice(0, -1), window.impasto ? window.impasto.current() : '']"
SHOW_NEW = "() => window.impasto && window.impasto.expect()"
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
VARY = "style_weight=0.3,1,3\nstyle_size=0.5,1"


def build(desk: Desk) -> gr.Blocks:
    """Build the page, and the interface for programs beside it."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        html_part(
            '<header class="studio-head"><h1>impasto</h1>'
            "<p>Paint a photo in the manner of a painting, and steer while it is painted.</p></header>"
        )
        with gr.Row(elem_classes="studio-room"):
            with gr.Column(scale=2, min_width=320, elem_classes="studio-bench"):
                materials = Materials(desk)
                form = Form()
                message = html_part("", elem_id="message")
                with gr.Row(elem_classes="studio-go"):
                    paint = gr.Button("Paint", variant="primary", elem_id="paint")
                more = More(desk, materials, form, message)
            with gr.Column(scale=3, min_width=320, elem_classes="studio-wall"):
                easel = html_part(EASEL, elem_id="easel", js_on_load=JS_EASEL)
                gallery = html_part(GALLERY, elem_id="gallery", js_on_load=JS_GALLERY)
        values = [materials.photo, materials.paintings, *form.inputs]

        def order(request: gr.Request, photo: Any, paintings: Any, *rest: Any) -> str:
            desk.order(photo, paintings or [], form.read(rest, len(paintings or [])), visitor=_visitor(request))
            return ""

        paint.click(None, js=SHOW_NEW, api_visibility="private")
        paint.click(_said(order), values, message, **QUIET)
        materials.paintings.change(lambda it: form.show_blend(len(it or [])), materials.paintings, form.blend, **QUIET)
        _connect_steering(desk, form, materials, message)
        more.connect(values)

        def reopen(event: gr.EventData) -> list[Any]:
            wish = dict(event._data or {})
            it, settings, photo, paintings = desk.reopen(str(wish.get("identity")), str(wish.get("name", "")))
            said = (
                f"The settings of “{it.photo}” are in the form again."
                if not wish.get("large")
                else ("Choose the size, look at the plan, and paint it large.")
            )
            return [*materials.fill(photo, paintings), *form.fill(settings, len(paintings)), tell(said)]

        outputs = [*materials.outputs, *form.outputs, message]
        for source in (easel, gallery):
            source.select(_said(reopen, len(outputs)), None, outputs, **QUIET)
        more.connect_reopening(outputs)
        offer(desk)
    return page


def _connect_steering(desk: Desk, form: "Form", materials: "Materials", message: gr.HTML) -> None:
    def steer(paintings: Any, *rest: Any) -> str:
        *values, identity = rest
        if not identity:
            return ""
        count = len(paintings or [])
        desk.steer(str(identity), form.read_steering(values, count))
        return ""

    hidden = gr.Textbox(visible=False)
    for field in form.steered:
        field.input(
            _said(steer),
            [materials.paintings, *form.inputs, hidden],
            message,
            js=IDENTITY,
            trigger_mode="always_last",
            **QUIET,
        )


def html_part(value: str, **more: Any) -> gr.HTML:
    """Make a part of the page whose looks are the studio's own."""
    return gr.HTML(value, apply_default_css=False, **more)


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

        self.photo.change(_said(see_photo), self.photo, self.photo_seen, **QUIET)
        self.paintings.change(_said(see_paintings), self.paintings, self.paintings_seen, **QUIET)

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


class More:
    """What stands below the button: by eye, at print size, from a picture."""

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
            self.width = gr.Number(30, minimum=1, maximum=300, label="Longer side in centimetres")
            self.density = gr.Number(200, minimum=50, maximum=600, precision=0, label="Pixels per inch")
            self.plan = html_part("", elem_id="plan")
            with gr.Row():
                self.look = gr.Button("Show the plan", elem_id="show-plan")
                self.print = gr.Button("Paint it large", elem_id="print")
        with gr.Accordion("Settings from a painted picture", open=False, elem_id="from-picture"):
            html_part("<p>Pictures painted by impasto carry how they were painted. Drop one here to go on from it.</p>")
            self.painted = gr.File(
                label="Painted picture", show_label=False, file_types=ACCEPTED, height=116, elem_id="painted"
            )

    def connect(self, values: list[Any]) -> None:
        """Say what the buttons do."""
        desk, form = self.desk, self.form

        def order_sheet(request: gr.Request, vary: str, photo: Any, paintings: Any, *rest: Any) -> str:
            given = form.read(rest, len(paintings or []))
            desk.order(photo, paintings or [], given, visitor=_visitor(request), vary=vary or VARY)
            return ""

        def enlarge(width: Any, density: Any, photo: Any, paintings: Any, *rest: Any) -> dict[str, Any]:
            if not photo or not paintings:
                raise UsageError("Choose a photo and a painting first.")
            if not width or not density:
                raise UsageError("Say how large it shall be.")
            size = round(float(width) / 2.54 * float(density))
            return {**form.read(rest, len(paintings)), "size": size}

        def show_plan(width: Any, density: Any, photo: Any, paintings: Any, *rest: Any) -> str:
            given = enlarge(width, density, photo, paintings, *rest)
            return tell(foresee(desk, desk.look(photo)[0], [desk.look(it)[0] for it in paintings], knobs.check(given)))

        def order_print(request: gr.Request, width: Any, density: Any, photo: Any, paintings: Any, *rest: Any) -> str:
            given = enlarge(width, density, photo, paintings, *rest)
            desk.order(photo, paintings, given, visitor=_visitor(request))
            return tell(foresee(desk, desk.look(photo)[0], [desk.look(it)[0] for it in paintings], knobs.check(given)))

        for button in (self.sheet, self.print):
            button.click(None, js=SHOW_NEW, api_visibility="private")
        self.sheet.click(_said(order_sheet), [self.vary, *values], self.message, **QUIET)
        size = [self.width, self.density, *values]
        self.look.click(_said(show_plan), size, self.plan, **QUIET)
        self.print.click(_said(order_print), size, self.plan, **QUIET)

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
            return [*filled, *form.fill(settings, len(recipe.paintings)), tell(said)]

        self.painted.upload(_said(take, len(outputs)), self.painted, outputs, **QUIET)


def tell(text: str) -> str:
    """Write a message that is no fault."""
    return f'<p role="status" class="told">{html.escape(text)}</p>' if text else ""


def complain(text: str) -> str:
    """Write a message about what went wrong."""
    return f'<p role="alert" class="wrong">{html.escape(text)}</p>'


def _said(function: Callable[..., Any], outputs: int = 1) -> Callable[..., Any]:
    """Have a function's ImpastoError said on the page, in the last of its outputs."""

    @wraps(function)
    def said(*values: Any, **more: Any) -> Any:
        try:
            return function(*values, **more)
        except ImpastoError as error:
            words = complain(in_page_words(str(error)))
            return words if outputs == 1 else [*(gr.skip() for _ in range(outputs - 1)), words]

    return said


def _visitor(request: gr.Request) -> str:
    return request.client.host if request and request.client else ""


def _examples(names: Sequence[str], what: str) -> str:
    def button(name: str) -> str:
        words = name.removesuffix(".jpg").replace("_", " ")
        return (
            f'<button type="button" class="example" data-name="{name}" aria-label="Example {what}: {words}" '
            f'title="{words}"><img src="studio/examples/{name}" alt="" loading="lazy"></button>'
        )

    return f'<div class="examples"><span>Or take</span>{"".join(map(button, names))}</div>'


JS_EXAMPLES = """
element.addEventListener('click', event => {
  const button = event.target.closest('button.example');
  if (button) trigger('select', {name: button.dataset.name});
});
"""
JS_EASEL = "window.impasto_ready = window.impasto_ready || []; "
JS_EASEL += "const go = () => window.impasto.hang(element, trigger);"
JS_EASEL += "window.impasto ? go() : window.impasto_ready.push(go);"
JS_GALLERY = JS_EASEL.replace("hang", "shelve")
EASEL = '<section aria-label="Easel" class="easel"></section>'
GALLERY = '<section aria-label="Pictures" class="gallery"></section>'
