"""The workshop: commissions in a queue, one painted at a time by a process of its own, which may die without harm."""

import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from impasto.apps.studio.assistant import Assistant
from impasto.apps.studio.brush import read, write_masks
from impasto.apps.studio.commissions import ENDED, Commission, Shelf, Stage, describe
from impasto.apps.studio.news import TO_KEEP, Revisions, take_down
from impasto.apps.studio.plans import Plans
from impasto.errors import ImpastoError, UsageError

BRUSH = "brush.png"  # what was brushed, among a commission's inputs
MOST_WAITING = 20  # commissions of one visitor
MOST_COMMISSIONS = 500
ROOM_FOR_ONE = 100_000_000  # bytes of the folder that must be free before another one is taken in
TELL_PAUSE = 1.0  # seconds between two steps that are told; previews and ends are told at once
AT_ONCE = "Stopped in the middle of a step."
UNWRITTEN = "How this picture stands could not be written down: is the disk full?"
PATIENCE = 20.0  # seconds that the painter has to end in order


class Workshop:
    """Takes commissions in, has them painted one after the other, and knows how each of them stands.

    `revision` grows with whatever changes; all methods may be called from any thread.
    """

    def __init__(self, shelf: Shelf, *, threads: int | None = None) -> None:
        self.shelf = shelf
        self._revisions = Revisions()
        self._told = 0.0
        self._plans = Plans()
        self.ready = False
        self.leaving = False  # is the studio being closed?
        self._failures = 0  # times in a row that the painter's process ended before it could paint
        self._lock = threading.RLock()
        self._commissions = {it.identity: it for it in shelf.read_all()}
        for it in self._commissions.values():
            if it.stage == "painting":
                self._set_aside(it, "The studio was closed while this was painted.")
        self._orders: list[tuple[str, dict[str, Any]]] = []
        self._closing = False
        self._painting: Commission | None = None
        self._assistant = Assistant(shelf.paintings, threads)
        self._foreman = threading.Thread(target=self._supervise, name="impasto foreman", daemon=True)
        self._foreman.start()

    @property
    def revision(self) -> int:
        """How many changes there were."""
        return self._revisions.number

    # What visitors ask for

    def submit(
        self,
        photo: Path,
        paintings: Sequence[Path],
        settings: dict[str, Any],
        *,
        cells: Sequence[dict[str, str]] = (),
        brushed: Path | None = None,
        names: Sequence[str] | None = None,
        visitor: str = "",
        plan: str = "",
        film: bool = False,
    ) -> Commission:
        """Put a picture, a sheet or a film into the queue; raises UsageError where the visitor has too many there."""
        with self._lock:
            waiting = [it for it in self._commissions.values() if it.stage == "waiting" and it.visitor == visitor]
            if len(waiting) >= MOST_WAITING:
                raise UsageError(f"{MOST_WAITING} of your pictures are waiting: let some be painted first.")
            if len(self._commissions) >= MOST_COMMISSIONS:
                raise UsageError(f"There are {MOST_COMMISSIONS} paintings here: remove some first.")
            self.shelf.make_room(ROOM_FOR_ONE, self._commissions.values())
            commission = self.shelf.take_in(
                photo,
                paintings,
                names,
                kind="sheet" if cells else "film" if film else "painting",
                settings=settings,
                cells=list(cells),
                visitor=visitor,
                plan=plan,
            )
            if brushed:
                inputs = self.shelf.folder(commission.identity) / "inputs"
                shutil.copyfile(brushed, inputs / BRUSH)
                commission.masks = write_masks(read(brushed), len(paintings), inputs)
            self._commissions[commission.identity] = commission
            self._changed(commission)
            return commission

    def get(self, identity: str) -> Commission:
        """Return a copy of a commission; raises UsageError where there is none of that name."""
        with self._lock:
            return self._find(identity).model_copy(deep=True)

    def get_all(self) -> list[Commission]:
        """Return copies of all, those in work first, then the newest first."""
        with self._lock:
            return [it.model_copy(deep=True) for it in self._sorted()]

    def steer(self, identity: str, changes: dict[str, Any], settings: dict[str, Any]) -> None:
        """Change settings of a commission, while it is painted or before; `settings` are those that it has then."""
        with self._lock:
            it = self._find(identity)
            if it.stage in ENDED:
                raise UsageError("This picture is finished: go back to an earlier state of it, or paint anew.")
            if it is self._painting:
                self._order("steer", changes)
            else:
                it.settings = settings
                self._changed(it)

    def pause(self, identity: str) -> None:
        """Set a painting aside; the next one in the queue may begin."""
        with self._lock:
            it = self._find(identity)
            if it is self._painting:
                self._order("pause", {})
            elif it.stage == "waiting":
                it.stage = "paused"
                self._changed(it)

    def go_on(self, identity: str, state: int | None = None) -> None:
        """Go on from the last state, or from the one with the number `state`; what has been painted is kept."""
        with self._lock:
            it = self._find(identity)
            numbers = [known.number for known in it.states]
            if state is not None and state not in numbers:
                raise UsageError("This earlier state is gone: choose another one.")
            if it is self._painting:
                if state is None:
                    return
                it.begin = state
                self._keep(it)
                self._order("back", {})
                return
            if it.kind == "painting" and state is not None and "picture.png" in it.pictures:
                self._keep_finished(it)
            it.begin = state if state is not None else max(numbers, default=None)
            if state is not None:
                it.settings = next(known.settings for known in it.states if known.number == state) or it.settings
            it.stage, it.message = "waiting", ""
            self._changed(it)

    def keep(self, identity: str) -> None:
        """Keep the picture as it is now, and go on painting."""
        with self._lock:
            it = self._find(identity)
            if it is self._painting and it.kind == "painting":
                self._keep(it)

    def stop(self, identity: str, *, now: bool = False) -> None:
        """End a painting and keep its picture; `now` doesn't wait for the step, and keeps the last state alone."""
        with self._lock:
            it = self._find(identity)
            if it is self._painting:
                it.message = AT_ONCE if now else "Finishing this step …"
                self._order("stop", {})
                if now:
                    self._assistant.kill()
            elif it.stage in ("waiting", "paused"):
                it.stage, it.message = "stopped", "Stopped before it was finished."
            self._changed(it)

    def remove(self, identity: str) -> None:
        """Remove a commission with its pictures; one that is being painted has to be stopped first."""
        with self._lock:
            it = self._find(identity)
            if it is self._painting:
                raise UsageError("This is being painted: stop it first.")
            del self._commissions[identity]
            self._revisions.forget(identity)
            self.shelf.remove(identity)

    def touch(self, identity: str) -> None:
        """Say that something about a commission has changed."""
        with self._lock:
            if identity in self._commissions:
                self._revisions.mark(identity)

    def changes(self, since: int) -> dict[str, Any]:
        """Return what has changed since a revision, as plain data for the page."""
        with self._lock:
            changed = [describe(it) for it in self._commissions.values() if self._revisions.is_news(it.identity, since)]
            return {
                "session": self._revisions.session,
                "revision": self.revision,
                "ready": self.ready,
                "order": [it.identity for it in self._sorted()],
                "changed": changed,
            }

    def plan(self, photo: Path, paintings: Sequence[Path], settings: dict[str, Any]) -> str:
        """Have the painter say what a painting takes; raises UsageError where it can't be painted so."""
        wanted = {"photo": str(photo), "paintings": [str(path) for path in paintings], "settings": settings}

        def send(number: int) -> None:
            with self._lock:
                self._order("plan", {"number": number, **wanted})

        return self._plans.ask(send)

    def close(self) -> None:
        """Set aside what is being painted, and end the painter's process."""
        with self._lock:
            self._closing = True
            if self._painting:
                self._order("pause", {})
            self._assistant.ring()
        self._foreman.join(PATIENCE)
        if self._assistant.is_alive() and self._painting:
            self._assistant.kill()

    # The painter's process

    def _supervise(self) -> None:
        while True:
            with self._lock:
                if self._closing and not self._painting:
                    self._assistant.dismiss()
                    return
                self._assign()
                orders, self._orders = self._orders, []
                for order in orders:
                    self._assistant.send(order)
            messages, alive = self._assistant.listen()
            with self._lock:
                for kind, content in messages:
                    self._hear(kind, content)
            if not alive:
                self._mourn()

    def _mourn(self) -> None:
        """The painter's process is gone: what it painted is set aside, and another one takes its place."""
        code = self._assistant.bury()
        self._plans.give_up("The painter's process ended, perhaps for lack of memory: ask again.")
        with self._lock:
            self._failures = 0 if self.ready else self._failures + 1
            self.ready = False
            if it := self._painting:
                self._painting = None
                asked = it.message == AT_ONCE
                said = AT_ONCE if asked else f"The painter's process ended (code {code}), perhaps for lack of memory."
                self._set_aside(it, said, "stopped" if asked else "failed")
            self._revisions.mark(it.identity if it else None)
            closing = self._closing
        if not closing:
            time.sleep(min(30, 2**self._failures) if self._failures else 0)
            self._assistant.hire()

    def _write(self, it: Commission) -> None:
        """Write a commission down; where the disk refuses, the studio goes on, and says so."""
        try:
            self.shelf.write(it)
        except (ImpastoError, OSError):
            if UNWRITTEN not in it.notes:
                it.notes = [*it.notes, UNWRITTEN]

    def _set_aside(self, it: Commission, message: str, stage: Stage = "stopped") -> None:
        it.stage = stage
        it.message = message + (" Go on from its last state." if it.states else "")
        self._write(it)

    def _assign(self) -> None:
        """Give the painter the oldest commission that waits."""
        if self._painting or not self.ready or self._closing:
            return
        waiting = [it for it in self._commissions.values() if it.stage == "waiting"]
        if not waiting:
            return
        it = min(waiting, key=lambda it: it.made)
        self._painting = it
        it.stage, it.message, it.notes = "painting", "", []
        self._orders = [("paint", it.model_dump()), *(order for order in self._orders if order[0] == "plan")]
        self._changed(it)

    def _hear(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "ready":
            self.ready = True
        elif kind == "planned":
            self._plans.answer(**content)
            return
        it = self._painting
        if it is None:
            self._revisions.mark()
            return
        now = time.monotonic()
        if kind not in ("step", "cell") or now - self._told > TELL_PAUSE:
            self._told = now
            self._revisions.mark(it.identity)
        take_down(it, kind, content)
        if kind == "ended":
            self._end(it, content["stage"], content["message"])
        if kind in TO_KEEP:
            self._write(it)

    def _end(self, it: Commission, stage: Stage | str, message: str) -> None:
        self._painting = None
        it.message = message
        if stage == "back":
            it.stage = "waiting"
            it.settings = next((known.settings for known in it.states if known.number == it.begin), it.settings)
            return
        it.stage = stage  # type: ignore[assignment]
        it.begin = None
        if stage == "paused" and self._closing:
            self._set_aside(it, "The studio was closed while this was painted.")

    def _sorted(self) -> list[Commission]:
        order = {"painting": 0, "paused": 1, "waiting": 2}
        return sorted(
            self._commissions.values(),
            key=lambda it: (order.get(it.stage, 3), it.made if it.stage == "waiting" else -it.made),
        )

    def _find(self, identity: str) -> Commission:
        it = self._commissions.get(identity) if isinstance(identity, str) else None
        if it is None:
            raise UsageError("There is no such painting here.")
        return it

    def _keep(self, it: Commission) -> None:
        self._order("keep", {"number": _next_kept(it)})

    def _keep_finished(self, it: Commission) -> None:
        """The finished picture gets a name of its own, before another one is painted in its place."""
        name = f"kept-{_next_kept(it)}.png"
        folder = self.shelf.folder(it.identity)
        with suppress(OSError):
            (folder / "picture.png").replace(folder / name)
            it.pictures = [*(known for known in it.pictures if known != "picture.png"), name]

    def _order(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "steer" and self._orders and self._orders[-1][0] == "steer":
            self._orders[-1][1].update(content)
        else:
            self._orders.append((kind, dict(content)))
        self._assistant.ring()

    def _changed(self, it: Commission) -> None:
        self._revisions.mark(it.identity)
        self._write(it)
        self._assistant.ring()


def _next_kept(it: Commission) -> int:
    return 1 + sum(name.startswith("kept-") for name in it.pictures)
