"""Puts the simulated embryos of the viability tests within reach of these."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "viability"))
