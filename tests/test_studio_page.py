"""The studio's page in a real browser: Chromium without a window, driven by Playwright."""

import io
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from studio_process import PATIENCE, Studio

from impasto import Settings, read_recipe
from impasto.images.write import write_image
from impasto.studio.form import MAX_BALANCE_FACTOR
