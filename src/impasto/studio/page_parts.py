"""What the page's parts share: how they are made, and what is said where something goes wrong."""

import html
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from impasto.errors import ImpastoError
from impasto.studio.wording import in_page_words

QUIET_EVENT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}  # of an event
EXPECT_NEW_JOB = "() => window.impasto && window.impasto.expect()"


def make_html(value: str, **more: Any) -> gr.HTML:
    """Make a part of the page whose looks are the studio's own."""
    return gr.HTML(value, apply_default_css=False, **more)


def render_info(text: str) -> str:
    """Write a message that is no fault."""
    return f'<p role="status" class="told">{html.escape(text)}</p>' if text else ""


def render_error(text: str) -> str:
    """Write a message about what went wrong."""
    return f'<p role="alert" class="wrong">{html.escape(text)}</p>'


def show_errors(function: Callable[..., Any], outputs: int = 1) -> Callable[..., Any]:
    """Have a function's ImpastoError said on the page, in the last of its outputs."""

    @wraps(function)
    def saying(*values: Any, **more: Any) -> Any:
        try:
            return function(*values, **more)
        except ImpastoError as error:
            words = render_error(in_page_words(str(error)))
            return words if outputs == 1 else [*(gr.skip() for _ in range(outputs - 1)), words]

    return saying


def ignore_errors(function: Callable[..., list[Any]]) -> Callable[..., Any]:
    """Have a function that follows a choice do nothing where the choice is wrong: whoever shows it says so."""

    @wraps(function)
    def following(*values: Any) -> Any:
        try:
            return function(*values)
        except ImpastoError:
            return [gr.skip(), gr.skip()]

    return following


def visitor_address(request: gr.Request) -> str:
    """Tell visitors apart by where they come from."""
    return request.client.host if request and request.client else ""


def connect_script(call: str) -> str:
    """Have the page's script take a part over; either may be there first."""
    return (
        f"window.impasto_ready = window.impasto_ready || []; const go = () => window.impasto.{call}; "
        "window.impasto ? go() : window.impasto_ready.push(go);"
    )
