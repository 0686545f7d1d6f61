"""How much is learned in so many seconds: the quick U-Net, and a plain one that owes us nothing.

A plain U-Net regressor in PyTorch (padded convolutions, 4 levels, 1.9 million parameters, or half
as wide, Adam on standardized labels, 8 crops of 128 pixels that are flipped and turned, half a
cosine of 2e-3) and `configs/neurons_quick.toml` learn from the same ground of condition B and are
judged on the same block of it, by Pearson's correlation of the last evaluation (of our
distributions: of their mean). The quick one is shortened to about SECONDS by its measured pace;
the plain ones then get the time that it really took, without compiling and judging. Needs torch;
pin it to a core to measure one.

    ISL_DATA=... python benchmarks/learning.py SECONDS [SEED ...]
"""

import csv
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from isl.config import load_toml
from isl.labeling.dataset import load_manifest
from isl_train.budget import BudgetConfig, of_length, seconds_per_update, updates_for
from isl_train.labeling.config import LabelingConfig
from isl_train.labeling.ground import Ground, load_ground
from isl_train.labeling.task import LabelingTask
from isl_train.loop import fit

CONFIGS = Path(__file__).parents[1] / "configs"
CROP, BATCH, RATE, WIDTHS, LEVELS = 128, 8, 2e-3, (32, 16), 4


def pair(depth_in: int, depth: int) -> torch.nn.Sequential:
    """Two padded 3 x 3 convolutions, each followed by batch norm and relu."""
    layers: list[torch.nn.Module] = []
    for inputs in (depth_in, depth):
        layers += [
            torch.nn.Conv2d(inputs, depth, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(depth),
            torch.nn.ReLU(),
        ]
    return torch.nn.Sequential(*layers)


class PlainUNet(torch.nn.Module):
    """[B, Z, Y, X] to [B, L, Y, X]."""

    def __init__(self, planes: int, labels: int, width: int) -> None:
        """With fresh weights, of so many maps at the finest level."""
        super().__init__()
        depths = [width * 2**level for level in range(LEVELS)]
        self.down = torch.nn.ModuleList(map(pair, [planes, *depths[:-1]], depths))
        self.upscale = torch.nn.ModuleList(
            torch.nn.ConvTranspose2d(2 * depth, depth, 2, 2) for depth in depths[:-1]
        )
        self.up = torch.nn.ModuleList(pair(2 * depth, depth) for depth in depths[:-1])
        self.out = torch.nn.Conv2d(depths[0], labels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        passed = [self.down[0](x)]
        for level in self.down[1:]:
            passed.append(level(torch.nn.functional.max_pool2d(passed[-1], 2)))
        x = passed.pop()
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([passed.pop(), self.upscale[level](x)], dim=1))
        return self.out(x)


def plain(ground: Ground, width: int, seconds: float, seed: int) -> tuple[list[float], int]:
    """Pearson by label, and how many updates there were."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    (field,), (held_out,) = ground.training, ground.validation
    transmitted, targets, measured = (
        torch.from_numpy(np.moveaxis(array, -1, 0).copy())
        for array in (field.transmitted, field.targets, field.measured)
    )
    deviation, mean = torch.std_mean(transmitted, dim=(1, 2), keepdim=True)
    statistics = [torch.std_mean(t[m]) for t, m in zip(targets, measured, strict=True)]
    scale, offset = (torch.stack(part)[:, None, None] for part in zip(*statistics, strict=True))
    images = ((transmitted - mean) / deviation, (targets - offset) / scale, measured)

    def crop() -> list[torch.Tensor]:
        height, width = field.visible.shape
        while True:
            y, x = rng.integers(0, height - CROP), rng.integers(0, width - CROP)
            window = (slice(None), slice(y, y + CROP), slice(x, x + CROP))
            if measured[window].any(dim=0).float().mean() > 0.5:
                break
        quarters, flipped = int(rng.integers(4)), rng.random() < 0.5
        turned = [torch.rot90(image[window], quarters, (1, 2)) for image in images]
        return [image.flip(1) if flipped else image for image in turned]

    network = PlainUNet(len(transmitted), len(targets), width)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    began, updates = time.perf_counter(), 0
    while (share := (time.perf_counter() - began) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (updates + 1) / 20) * (1 + np.cos(np.pi * share)) / 2
        seen, wanted, counted = map(torch.stack, zip(*(crop() for _ in range(BATCH)), strict=True))
        loss = (torch.square(network(seen) - wanted) * counted).sum() / counted.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates += 1
    network.eval()
    step = 2 ** (LEVELS - 1)
    height, width = (n // step * step for n in field.visible.shape)
    with torch.no_grad():
        whole = network(images[0][None, :, :height, :width])[0].numpy()
    (top, bottom), (left, right) = held_out.region
    found = whole[:, top:bottom, left:right]
    return [
        float(np.corrcoef(image[mask], true[mask])[0, 1])
        for image, true, mask in zip(found, held_out.targets, held_out.measured, strict=True)
    ], updates


def quick(seconds: float, seed: int) -> tuple[list[float], int, float]:
    """The same of the quick U-Net, and the seconds that its updates took."""
    experiment = load_toml(CONFIGS / "neurons_quick.toml", LabelingConfig, [f"seed={seed}"])
    task = LabelingTask(experiment, CONFIGS)
    pace = seconds_per_update(task, experiment)
    updates = updates_for(BudgetConfig(seconds=seconds), experiment, pace)
    experiment = of_length(experiment, updates, evaluations=1)
    task = LabelingTask(experiment, CONFIGS)
    with tempfile.TemporaryDirectory() as folder:
        fit(task, experiment, Path(folder))
        last, clock = (_last_row(Path(folder) / name) for name in ("validation.csv", "clock.csv"))
    figures = [float(last[f"pearson_mean/{label}"]) for label in task.ground.labels]
    return figures, updates, float(clock["seconds"])


def _last_row(table: Path) -> dict[str, str]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))[-1]


def main() -> None:
    """Prints a line for each network and seed."""
    seconds, seeds = float(sys.argv[1]), [int(word) for word in sys.argv[2:]] or [0]
    torch.set_num_threads(1)
    ground = load_ground(load_manifest(CONFIGS / "data" / "condition_b_A4.toml"))
    print(f"{'network':24} seed updates seconds  {'  '.join(ground.labels)}  mean")

    def show(name: str, figures: list[float], updates: int, seconds: float) -> None:
        shown = "  ".join(f"{value:.3f}" for value in (*figures, np.mean(figures)))
        print(f"{name:24} {seed:4} {updates:7} {seconds:7.0f}  {shown}", flush=True)

    for seed in seeds:
        figures, updates, took = quick(seconds, seed)
        show("neurons_quick", figures, updates, took)
        for width in WIDTHS:
            show(f"plain, width {width}, PyTorch", *plain(ground, width, took, seed), took)


if __name__ == "__main__":
    main()
