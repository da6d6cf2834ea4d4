import pytest
import torch

from nas.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 8), (32, 8), (8, 32)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    rotated = left.T @ orthogonalised(matrix) @ right.T
    assert rotated.diagonal().min() > 0.6 or values.min() < 0.05 * values.max()
    assert rotated.diagonal().max() < 1.3
    assert (rotated - rotated.diagonal().diag()).abs().max() < 1e-4
    assert torch.isfinite(orthogonalised(torch.zeros(shape))).all()


def test_steps_are_those_of_the_reference_within_its_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(*s, generator=generator)) for s in ((16, 16), (48, 16), (16, 48))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    muon, reference = Muon(ours, weight_decay=0.1), torch.optim.Muon(theirs, weight_decay=0.1)
    before = [p.detach().clone() for p in ours]
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(*mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        for optimizer in (muon, reference):
            optimizer.param_groups[0]["lr"] = 0.03
            optimizer.step()
    for mine, other, start in zip(ours, theirs, before, strict=True):
        moved = (mine - start).norm()
        assert (mine - other).norm() < 0.03 * moved, "bfloat16 has three digits"
    assert muon.state[ours[0]].keys() == reference.state[theirs[0]].keys(), "checkpoints of either are read"


def test_a_matrix_without_a_gradient_stays_as_it_is() -> None:
    used, unused = (torch.nn.Parameter(torch.eye(4)) for _ in range(2))
    muon = Muon([used, unused], weight_decay=0.1)
    used.grad = torch.ones(4, 4)
    muon.param_groups[0]["lr"] = 0.1
    muon.step()
    assert torch.equal(unused, torch.eye(4))
    assert not torch.equal(used, torch.eye(4))


def test_a_closure_computes_the_gradients_that_a_step_is_taken_with() -> None:
    matrix = torch.nn.Parameter(torch.eye(4))
    muon = Muon([matrix], weight_decay=0.0)
    muon.param_groups[0]["lr"] = 0.1

    def closure() -> float:
        loss = matrix.square().sum()
        loss.backward()
        return loss.item()

    assert muon.step(closure) == 4.0
    assert matrix.square().sum() < 4.0
