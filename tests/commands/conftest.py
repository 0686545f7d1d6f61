"""Puts the simulated recordings of embryos within reach of the tests of commands."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "polarity"))
