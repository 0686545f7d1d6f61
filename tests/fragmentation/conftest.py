"""Puts this folder's simulated embryos, and made-up ImageNet weights, within reach of its tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))
