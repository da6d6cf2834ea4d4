"""What tasks of labelled examples do with them."""

import numpy as np
import pytest
import torch

from nas.evaluation import Split
from nas.tasks import TaskOptions, make_task
from nas.tasks.classification import ClassificationTask
from nas.tasks.data.examples import Dataset, Examples
from searchspaces.form import Classes, Form, Grid, Series


class Ragged(ClassificationTask):
    """Series of which a part is there, of two channels with other means and deviations."""

    name = "ragged"

    def read(self) -> Dataset:
        rng = np.random.default_rng(0)
        lengths = rng.integers(3, 9, size=300)
        inputs = rng.normal([[5.0], [-2.0]], [[3.0], [0.5]], size=(300, 2, 8)).astype(np.float32)
        inputs *= (np.arange(8) < lengths[:, None])[:, None]
        examples = Examples(inputs, rng.integers(3, size=300), lengths)
        return Dataset.divided(("a", "b", "c"), examples, 0.25, test=0.2)


def test_numbers_are_standardised_by_what_is_there_of_them() -> None:
    task = Ragged(TaskOptions())
    assert task.form == Form(Series(8, 2), Classes(3))
    train = task.dataset.train
    assert train.lengths is not None
    there = torch.arange(8) < torch.from_numpy(train.lengths)[:, None]
    standard = torch.from_numpy(task._standardised(train))
    assert standard[~there[:, None].expand_as(standard)].isnan().all()
    for channel in range(2):
        numbers = standard[:, channel][there]
        assert abs(numbers.mean()) < 1e-4
        assert numbers.std(correction=0) == pytest.approx(1, abs=1e-3)


def test_images_are_moved_by_no_more_than_was_asked() -> None:
    still, moved = (make_task("digits", {"shift": shift}) for shift in (0, 2))
    assert still.form == Form(Grid((8, 8)), Classes(10))
    one, other = (task.batch(4, 0, 64, 16) for task in (still, moved))
    assert torch.equal(one.targets, other.targets)
    padded = torch.nn.functional.pad(one.inputs, (2, 2, 2, 2), mode="replicate")
    offsets = set()
    for place in range(64):
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(padded[place, :, down : down + 8, right : right + 8], other.inputs[place])
        ]
        assert found
        offsets |= set(found)
    assert len(offsets) > 15
    for split in (Split.VALIDATION, Split.TEST):
        batches = zip(still.evaluation_batches(split), moved.evaluation_batches(split), strict=True)
        assert all(torch.equal(a.inputs, b.inputs) for a, b in batches)


def test_training_never_sees_what_is_scored() -> None:
    data = make_task("digits").dataset
    rows = [{image.tobytes() for image in part.inputs} for part in (data.train, data.validation, data.test)]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]
    assert make_task("digits").digest != make_task("digits", {"shift": 0}).digest
