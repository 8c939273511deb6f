"""The studio's snapshots and plan requests: how many are kept, and what is answered."""

import pytest

pytest.importorskip("gradio", reason="needs Gradio: pip install 'impasto[studio]'")
