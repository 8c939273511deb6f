"""Plans that visitors ask the painter for: questions that go to its process, answers that come back."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future

from impasto.errors import UsageError

MAX_PLAN_REQUESTS = 3  # that are asked for at one time
PLAN_TIMEOUT_SECONDS = 30.0  # seconds


class PlanRequests:
    """Knows who waits for which answer; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[str]] = {}

    def request_plan(self, send: Callable[[int], None]) -> str:
        """Have a question sent under a number, and wait for its answer; raises UsageError where there is none."""
        with self._lock:
            if len(self._waiting) >= MAX_PLAN_REQUESTS:
                raise UsageError("Other plans are being made: ask again in a moment.")
            number = next(self._numbers)
            answer = self._waiting[number] = Future()
        send(number)
        try:
            return answer.result(PLAN_TIMEOUT_SECONDS)
        except TimeoutError:
            raise UsageError("The painter is busy: ask again in a moment.") from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def set_answer(self, number: int, said: str = "", fault: str = "") -> None:
        """Give an answer, or say why there is none, to whoever still waits for it."""
        with self._lock:
            waiting = self._waiting.pop(number, None)
        if waiting and fault:
            waiting.set_exception(UsageError(fault))
        elif waiting:
            waiting.set_result(said)

    def fail_all(self, fault: str) -> None:
        """Say to all that wait that there will be no answer."""
        with self._lock:
            numbers = list(self._waiting)
        for number in numbers:
            self.set_answer(number, fault=fault)
