"""What every test runs under: strict JAX, compiled programs kept for the next run."""

import os
import sys
from pathlib import Path

import hypothesis

# JAX reads these when it is imported, here and in the commands that tests start.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# Tests compile many programs and run each on a few pixels, so optimizing them costs more than it
# saves; without its emitters of fused loops XLA compiles in two thirds of the time. Tests on real
# images run what people get.
if "ISL_DATA" not in os.environ:
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    )
# One folder for all workers: with a limit on its size, JAX locks it.
_cache = Path(__file__).parents[1] / ".pytest_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache / "jax"))
os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(4 * 2**30))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# What runs measured is no business of the person who tests.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
os.environ["XDG_CACHE_HOME"] = str(_cache / "cache" / _worker)

# A first call compiles, which no deadline for single examples foresees.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Within reach of every test: command_line. Not tests/ itself, whose folder torch would be taken for
# PyTorch by whoever looks whether that is installed.
sys.path.insert(0, str(Path(__file__).parent / "calling"))
