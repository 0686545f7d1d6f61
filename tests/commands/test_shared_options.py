"""Options that say what files do not: every task has those that docs/inputs.md says it has."""

import re
from inspect import signature
from pathlib import Path

import pytest

from isl import registry

TASKS = ("predict", "polarity", "colony", "fragmentation", "viability")
TABLE = re.compile(r"^\| (`--[^|]*) \| ([^|]*) \|", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    """Commands by option."""
    text = (Path(__file__).parents[2] / "docs" / "inputs.md").read_text(encoding="utf-8")
    return {
        option.replace("-", "_"): set(re.split(r"[,;] ", commands))
        for options, commands in TABLE.findall(text)
        for option in re.findall(r"--([a-z-]+)", options)
    }


@pytest.mark.parametrize("command", [*TASKS, "check", "inspect"])
def test_commands_have_the_options_that_the_docs_say(command):
    own = set(signature(registry.load(registry.COMMANDS, command, what="command")).parameters)
    told = documented()
    assert {"axes", "channel", "pixel_size", "z_step", "modality", "interval_minutes"} == set(told)
    assert {option for option, commands in told.items() if command in commands} == own & set(told)


def test_every_task_can_be_told_axes_and_channel():
    assert set(TASKS) <= documented()["axes"] & documented()["channel"]
