"""Ctrl-C, SIGTERM and the terminal's end: the current step is finished, and the picture is saved."""

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Literal, Self

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # Windows has no SIGHUP, and alone has SIGBREAK
SIGNALS = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)
INTERRUPT_NOTICE = "finishing this step; Ctrl-C again stops at once"


class Interrupts:
    """A context manager that counts interrupts; their effect depends on `mode`.

    `raise`: KeyboardInterrupt at once, as nothing can be lost yet. `ask`: the first is only counted, the second raises.
    `hold`: only counted, as a picture is being written.
    """

    def __init__(self, notice: str = "") -> None:
        self.mode: Literal["raise", "ask", "hold"] = "raise"
        self.count: int = 0
        self.first_notice = notice  # printed at the first interrupt in mode `ask`
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for name in SIGNALS:
            if signal.getsignal(name) is not signal.SIG_IGN:  # as under nohup, or in a shell's background job
                self._previous_handlers[name] = signal.signal(name, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for name, handler in self._previous_handlers.items():
            # After an interrupt the program only cleans up: another Ctrl-C would only print a traceback.
            signal.signal(name, signal.SIG_IGN if self.count else handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.count += 1
        if self.mode == "raise":
            raise KeyboardInterrupt
        if self.mode == "ask" and self.count > 1:
            self.mode = "hold"  # the picture is written next: a third interrupt must not stop that
            raise KeyboardInterrupt
        if self.mode == "ask" and self.first_notice:
            with suppress(OSError):
                os.write(2, f"\n{self.first_notice}\n".encode())  # print is not reentrant
