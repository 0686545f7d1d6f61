import itertools

import numpy as np
import pytest
from line_task import Line

from isl.errors import InputError
from isl_train.data import batches


def _draw(count: int, **options) -> list[np.ndarray]:
    with batches(Line().examples(seed=3), **{"batch_size": 4, **options}) as stream:
        return [np.array(batch["x"]) for batch in itertools.islice(stream, count)]


def test_examples_follow_from_seed_and_position_alone() -> None:
    whole = _draw(6)
    np.testing.assert_array_equal(_draw(6), whole)
    np.testing.assert_array_equal(_draw(2, start=4), whole[4:])
    assert len(np.unique(np.concatenate(whole), axis=0)) == 24
    with batches(Line().examples(seed=4), batch_size=4) as stream:
        assert not np.array_equal(next(stream)["x"], whole[0])


def test_worker_processes_give_the_same_stream() -> None:
    np.testing.assert_array_equal(_draw(3, workers=2, start=1), _draw(4)[1:])


def test_parts_of_all_processes_are_the_batch() -> None:
    whole = _draw(5)[2:]
    parts = [_draw(3, start=2, process=(index, 2)) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(InputError, match="multiple of 3"):
        _draw(1, process=(0, 3))
