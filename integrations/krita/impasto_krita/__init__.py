"""Krita's menu entry Tools > Scripts > Paint with impasto, its dialog, and its messages."""

import shlex
import shutil

from krita import Extension, Krita

try:
    from PyQt5 import QtWidgets
except ImportError:  # Krita 6
    from PyQt6 import QtWidgets

from .painting import PaintingError, list_paintings, paint_layer

TITLE, GROUP = "Paint with impasto", "impasto"
PRESETS = ("default", "draft", "fine")
MAX_FIRST_SIZE = 1024  # of the longer side, in pixels: more takes minutes, and is for the user to choose


class ImpastoExtension(Extension):
    """The menu entry."""

    def setup(self):
        """Do nothing when Krita starts."""

    def createActions(self, window):  # noqa: N802
        """Add the entry to a window's menu."""
        window.createAction("impasto_paint", TITLE, "tools/scripts").triggered.connect(self.ask_and_paint)

    def ask_and_paint(self):
        """Ask how to paint the active layer, and paint it."""
        document = Krita.instance().activeDocument()
        if document is None:
            return show_message("Open a picture first.")
        dialog = PaintDialog(document)
        if dialog.exec():
            dialog.save()
            paint(document, dialog)
        return None


class PaintDialog(QtWidgets.QDialog):
    """Asks for a painting, a preset, a size and other options."""

    def __init__(self, document):
        super().__init__()
        self.setWindowTitle(TITLE)
        self.program = QtWidgets.QLineEdit(read_setting("program", shutil.which("impasto") or "impasto"))
        self.painting = QtWidgets.QComboBox(editable=True)
        self.preset = QtWidgets.QComboBox()
        self.preset.addItems(PRESETS)
        self.size = QtWidgets.QSpinBox(minimum=64, maximum=32768, suffix=" pixels")
        self.size.setValue(min(MAX_FIRST_SIZE, max(document.width(), document.height())))
        self.options = QtWidgets.QLineEdit(read_setting("options", ""), placeholderText="--style-size 0.5 --color keep")
        browse = QtWidgets.QPushButton("File …", clicked=self.browse)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.painting, 1)
        row.addWidget(browse)
        button = QtWidgets.QDialogButtonBox.StandardButton
        buttons = QtWidgets.QDialogButtonBox(button.Ok | button.Cancel, accepted=self.accept, rejected=self.reject)
        form = QtWidgets.QFormLayout(self)
        form.addRow("Painting", row)
        form.addRow("Preset", self.preset)
        form.addRow("Longer side", self.size)
        form.addRow("More options", self.options)
        form.addRow("Program", self.program)
        form.addRow(buttons)
        self.program.editingFinished.connect(self.fill_paintings)
        self.fill_paintings()

    def fill_paintings(self):
        """List the paintings that come with impasto; without a program that runs, the list is empty."""
        chosen = self.painting.currentText() or read_setting("painting", "")
        self.painting.clear()
        try:
            self.painting.addItems(list_paintings(self.program.text()))
        except PaintingError as error:
            show_message(str(error))
        if chosen:
            self.painting.setCurrentText(chosen)

    def browse(self):
        """Choose a painting that is a file."""
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Painting")
        if path:
            self.painting.setCurrentText(path)

    def list_options(self):
        """List the words of the command line that the dialog stands for."""
        return [
            "--preset",
            self.preset.currentText(),
            "--size",
            str(self.size.value()),
            *shlex.split(self.options.text()),
        ]

    def save(self):
        """Keep the answers for the next time."""
        for name, text in (
            ("program", self.program.text()),
            ("painting", self.painting.currentText()),
            ("options", self.options.text()),
        ):
            Krita.instance().writeSetting(GROUP, name, text)


def paint(document, dialog):
    """Paint the active layer while a window shows how far it is; its button keeps what is painted so far."""
    progress = QtWidgets.QProgressDialog("", "Stop", 0, 0, windowTitle=TITLE, minimumDuration=0)
    progress.setModal(True)
    progress.show()

    def show(line):
        progress.setLabelText(line.partition(", step")[0] or "Starting …")
        QtWidgets.QApplication.processEvents()
        return not progress.wasCanceled()

    layer, program, painting = document.activeNode(), dialog.program.text(), dialog.painting.currentText()
    try:
        notes = paint_layer(document, layer, program, painting, dialog.list_options(), show)
    except (PaintingError, ValueError) as error:  # ValueError: an option with a single quotation mark
        notes = [str(error)]
    progress.close()
    if notes:
        show_message("\n".join(notes))


def read_setting(name, default):
    """Return what was answered the last time."""
    return Krita.instance().readSetting(GROUP, name, default)


def show_message(text):
    """Show a text in a window of its own."""
    QtWidgets.QMessageBox.information(None, TITLE, text)


Krita.instance().addExtension(ImpastoExtension(Krita.instance()))
