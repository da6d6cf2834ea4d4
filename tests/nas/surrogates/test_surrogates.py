"""The surrogate's parts against slow references."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from nas.surrogates.acquisition import ExpectedHypervolumeImprovement
from nas.surrogates.features import StructureFeatures
from nas.surrogates.gaussian_process import GaussianProcess, _Fidelity, _negative_log_posterior
from searchspaces.encoding import Encoding, Population


class TestGaussianProcess:
    def data(self, n: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rng = np.random.default_rng(seed)
        blocks = {"counts": rng.integers(0, 4, (n, 5)).astype(float), "pairs": rng.random((n, 8))}
        y = blocks["counts"] @ [1.0, 0.5, 0, 0, -1] + np.sin(blocks["counts"][:, 3]) + blocks["pairs"][:, 0]
        return blocks, y

    def test_gradient_of_the_likelihood(self):
        rng = np.random.default_rng(0)
        x = rng.random((12, 3))
        grams = np.stack([x @ x.T, np.eye(12)])
        distances = np.square(x[:, None] - x).sum(2)[None]
        candidates = np.array([*range(9), 0, 1, 2])
        lower = (np.arange(12) >= 9)[None]
        fidelity = _Fidelity((candidates == candidates[:, None]).astype(float), lower)
        y, prior, at = rng.random(12), np.zeros(7), rng.normal(-1, 0.5, 7)
        _, gradient = _negative_log_posterior(at, grams, distances, fidelity, y, prior)
        for i in range(7):
            step = np.eye(7)[i] * 1e-6
            up, down = (
                _negative_log_posterior(at + s, grams, distances, fidelity, y, prior)[0]
                for s in (step, -step)
            )
            assert gradient[i] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)

    def test_cheap_observations_teach_though_they_are_scaled_shifted_and_noisy(self):
        """Many that answer 0.8 y + 3, and few that answer y: better than those few alone, and unbiased."""
        blocks, y = self.data(240)
        rng, whole = np.random.default_rng(2), 30
        levels = np.repeat([1, 0], [whole, len(y) - whole])
        told = np.where(levels == 1, y, 0.8 * y + 3.0 + rng.normal(0.0, 0.1, len(y)))
        both = GaussianProcess(("counts",), fidelities=2).fit(blocks, told, levels=levels)
        few = GaussianProcess(("counts",)).fit({n: x[:whole] for n, x in blocks.items()}, y[:whole])
        others, truth = self.data(300, seed=1)
        errors = [np.sqrt(np.square(one.mean(others) - truth).mean()) for one in (both, few)]
        assert errors[0] < 0.5 * errors[1]
        assert abs((both.mean(others) - truth).mean()) < 0.1

    def test_what_features_do_not_explain_belongs_to_a_candidate(self):
        """A cheap look at an odd candidate tells of its whole evaluation what no feature could."""
        blocks, y = self.data(120)
        rng = np.random.default_rng(3)
        odd = y + rng.normal(0.0, 1.0, len(y))
        seen, levels = np.arange(60), np.repeat([1, 0], [60, 60])
        candidates = np.concatenate([seen, np.arange(60, 120)])
        model = GaussianProcess(("counts",), fidelities=2)
        model.fit(blocks, odd, True, candidates, levels)
        screened = {name: x[60:] for name, x in blocks.items()}
        known = model.posterior(screened, candidates[60:])
        unknown = model.posterior(screened)
        assert np.abs(known.mean - odd[60:]).mean() < 0.7 * np.abs(unknown.mean - odd[60:]).mean()

    def test_learns_and_knows_what_it_does_not_know(self):
        blocks, y = self.data(120)
        model = GaussianProcess(("counts",)).fit(blocks, y)
        others, truth = self.data(200, seed=1)
        mean, std = model.mean_and_std(others)
        assert np.corrcoef(mean, truth)[0, 1] > 0.97
        assert 0.5 < np.std((mean - truth) / std) < 2.0
        _, at_data = model.mean_and_std(blocks)
        assert at_data.mean() < 0.7 * std.mean()

    def test_posterior_agrees_with_mean_and_std(self):
        blocks, y = self.data(40)
        model = GaussianProcess(("counts",)).fit(blocks, y)
        others, _ = self.data(15, seed=2)
        mean, std = model.mean_and_std(others)
        posterior = model.posterior(others)
        assert np.allclose(posterior.mean, mean)
        assert np.allclose(np.sqrt(np.diag(posterior.covariance)), std, rtol=1e-5, atol=1e-7)


class TestExpectedHypervolumeImprovement:
    front = np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 2.0]])
    reference = np.array([6.0, 6.0])

    def simulated(self, mean: np.ndarray, std: np.ndarray, draws: int = 4000) -> float:
        rng = np.random.default_rng(0)
        before = moocore.hypervolume(self.front, ref=self.reference)
        gains = [
            moocore.hypervolume(np.vstack([self.front, mean + std * rng.normal(size=2)]), ref=self.reference)
            - before
            for _ in range(draws)
        ]
        return float(np.mean(gains))

    @pytest.mark.parametrize("mean", [[1.5, 4.0], [0.5, 1.0], [5.5, 1.5], [3.0, 3.5]])
    def test_equals_simulation_where_one_objective_is_known(self, mean):
        at, std = np.array([mean]), np.array([[0.7, 0.0]])
        exact = ExpectedHypervolumeImprovement(self.front, self.reference, at, 0).of(std)[0]
        assert exact == pytest.approx(self.simulated(at[0], std[0]), rel=0.05, abs=0.01)

    def test_is_the_gain_itself_where_all_is_known(self):
        at = np.array([[1.5, 2.5], [5.0, 5.0]])
        gain = ExpectedHypervolumeImprovement(self.front, self.reference, at, 0).of(np.zeros((2, 2)))
        before = moocore.hypervolume(self.front, ref=self.reference)
        after = moocore.hypervolume(np.vstack([self.front, at[0]]), ref=self.reference)
        assert gain == pytest.approx([after - before, 0.0], abs=1e-9)

    def test_three_objectives_by_quadrature(self):
        rng = np.random.default_rng(1)
        front, at = rng.random((6, 3)), rng.random((5, 3)) * 0.8
        gain = ExpectedHypervolumeImprovement(front, np.ones(3), at, 0).of(np.zeros((5, 3)))
        before = moocore.hypervolume(front, ref=1.0)
        after = [moocore.hypervolume(np.vstack([front, x]), ref=1.0) - before for x in at]
        assert gain == pytest.approx(after, abs=0.02)

    def test_attained_volume_is_not_gained_twice(self):
        at = np.array([[1.5, 2.5]])
        improvement = ExpectedHypervolumeImprovement(self.front, self.reference, at, 0)
        improvement.attain(at[0])
        assert improvement.of(np.zeros((1, 2)))[0] == pytest.approx(0.0, abs=1e-9)


class TestStructureFeatures:
    def encoding(self) -> Encoding:
        def canonical(rows: Population) -> Population:
            layers = rows[:, 1:].reshape(len(rows), 3, 2)
            layers[np.arange(3) > rows[:, :1]] = 0
            rows[:, 1:] = layers.reshape(len(rows), 6)
            return rows

        names = ["depth", *(f"{gene}_{i}" for i in range(3) for gene in ("mixer", "ratio"))]
        return Encoding([3] + [2, 3] * 3, names, 1 + np.arange(6).reshape(3, 2), canonical)

    def test_counts_only_present_layers(self):
        rows = np.array([[0, 1, 2, 0, 0, 0, 0], [2, 1, 2, 0, 0, 1, 0]])
        blocks = StructureFeatures(self.encoding()).blocks(rows)
        assert blocks["counts"].tolist() == [[0, 1, 0, 0, 1], [1, 2, 2, 0, 1]]
        assert blocks["globals"].tolist() == [[1, 0, 0], [0, 0, 1]]
        assert blocks["neighbours"].sum(1).tolist() == [0, 4]  # 2 genes × (depth − 1)
        assert blocks["blocks"].sum(1).tolist() == [1, 3]

    def test_zones_hold_every_layer_once(self):
        encoding = self.encoding()
        rows = encoding.sample(50, np.random.default_rng(0))
        blocks = StructureFeatures(encoding).blocks(rows)
        zones = np.expm1(blocks["zones"]).reshape(50, -1, blocks["counts"].shape[1]).sum(1)
        assert np.allclose(zones, blocks["counts"])

    def test_a_space_without_layers_has_its_genes(self):
        blocks = StructureFeatures(Encoding([2, 1, 3], list("abc"))).blocks(np.array([[1, 0, 2]]))
        assert {name: block.tolist() for name, block in blocks.items()} == {"globals": [[0, 1, 0, 0, 1]]}
