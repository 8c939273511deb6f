"""The studio's snapshots and plan requests: how many are kept, and what is answered."""

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import SPELT_OUT, make_picture

pytest.importorskip("gradio", reason="needs Gradio: pip install 'impasto[studio]'")

from impasto import Job, Run, Settings, start_job
from impasto.errors import PictureError, UsageError
from impasto.images.write import write_image
from impasto.studio import queue as queue_module
from impasto.studio import snapshots as snapshots_module
from impasto.studio.queue import MAX_PLAN_REQUESTS, PlanRequests
