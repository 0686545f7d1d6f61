"""`python -m isl.phantom.cleavage --out DIR`: writes a dataset of simulated embryos."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from isl.phantom.cleavage.dataset import CleavagePlan, write_dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line, writes the dataset and prints its file."""
    plan = CleavagePlan()
    parser = argparse.ArgumentParser(prog="python -m isl.phantom.cleavage", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the dataset")
    parser.add_argument(
        "--embryos",
        type=int,
        nargs=3,
        default=plan.embryos,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="how many embryos",
    )
    parser.add_argument("--frames", type=int, default=plan.frames, help="of every embryo")
    parser.add_argument("--size", type=int, default=plan.size, help="of a frame, pixels")
    parser.add_argument(
        "--masks", type=float, default=plan.masks, help="share of training embryos with masks"
    )
    parser.add_argument("--seed", type=int, default=plan.seed)
    given = parser.parse_args(argv)
    train, validation, test = given.embryos
    made = CleavagePlan(
        embryos=(train, validation, test),
        frames=given.frames,
        size=given.size,
        masks=given.masks,
        seed=given.seed,
    )
    print(write_dataset(given.out, made))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
