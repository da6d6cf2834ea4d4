"""The task that docs/howto-task.md writes is a task."""

import re
import subprocess
import sys
from pathlib import Path

HOWTO = Path(__file__).parents[3] / "docs" / "howto-task.md"

CHECK = """
from nas.tasks import make_task

task = make_task("parity", {"evaluation_context": 32})
batch = task.batch(0, 0, 4, 32)
assert batch.shape == (4, 33)
right = iter([b[:, 1:] for s in (Split.VALIDATION,) for b in task.evaluation_batches(s)])

def model(tokens):
    import torch
    return torch.nn.functional.one_hot(next(right), 4).float()

assert task.evaluate(model, Split.VALIDATION) == 1.0
assert task.loss(torch.zeros(4, 32, 4), batch).item() > 0
"""


def test_the_howtos_task_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    # A process of its own: a registered task stays registered.
    subprocess.run([sys.executable, "-c", f"{code}\nimport torch\n{CHECK}"], check=True)
