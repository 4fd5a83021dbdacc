"""Denoisers without training: what they promise, and that they are no straw men."""

import numpy as np
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.study import classical, noise_levels

STRENGTHS = {"median": 3.0, "total_variation": 0.5, "nonlocal_means": 0.2, "wavelet": 0.75}
every_method = pytest.mark.parametrize("method", STRENGTHS)


def psnr_db(restored: np.ndarray, clean: np.ndarray) -> float:
    mse = np.square(np.clip(restored, 0.0, 1.0) - clean).mean((1, 2))
    return float((-10.0 * np.log10(mse)).mean())


@every_method
def test_shape_and_input_stay(method, digits):
    noisy = noise_levels.corrupt(digits[:3], 0.5, 1) / 255.0
    before = noisy.copy()
    assert classical.METHODS[method](noisy, 0.5, STRENGTHS[method]).shape == noisy.shape
    assert np.array_equal(noisy, before)


@every_method
def test_each_image_is_restored_by_itself(method, digits):
    noisy = noise_levels.corrupt(digits[:3], 0.5, 1) / 255.0
    together = classical.METHODS[method](noisy, 0.5, STRENGTHS[method])
    alone = classical.METHODS[method](noisy[1:2], 0.5, STRENGTHS[method])
    assert np.array_equal(together[1:2], alone)


# What the same methods reach untuned, with the shift left in (docs/study.md).
@pytest.mark.parametrize(
    ("method", "least_db"), [("median", 14.2), ("total_variation", 12.5), ("wavelet", 11.6), ("nonlocal_means", 14.2)]
)
def test_tuned_methods_are_no_straw_men(method, least_db, sample, digits):
    train = sample[0].images[:60]
    seen = noise_levels.corrupt(train, 0.5, 1, "tuning") / 255.0
    tuned = classical.tune(method, [STRENGTHS[method]], seen, train / 255.0, 0.5)
    noisy = noise_levels.corrupt(digits[:60], 0.5, 1, "test") / 255.0
    assert psnr_db(tuned(noisy), digits[:60] / 255.0) > least_db


@every_method
def test_no_noise_is_no_error(method, digits):
    tuned = classical.tune(method, [STRENGTHS[method]], digits[:5] / 255.0, digits[:5] / 255.0, 0.0)
    assert np.isfinite(tuned(digits[:5] / 255.0)).all()


def test_tuning_takes_the_best_strength(digits):
    clean = digits[:20] / 255.0
    noisy = noise_levels.corrupt(digits[:20], 0.3, 1) / 255.0
    alone = {width: classical.tune("median", [width], noisy, clean, 0.3) for width in (3, 15)}
    chosen = classical.tune("median", [3, 15], noisy, clean, 0.3)
    assert chosen.strength == max(alone, key=lambda width: psnr_db(alone[width](noisy), clean))


@pytest.mark.parametrize(("method", "package"), [("wavelet", "pywt")])
def test_a_missing_package_is_one_sentence(method, package, monkeypatch):
    monkeypatch.setattr(classical, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=f"the method {method} needs the package {package}, which is not installed"):
        classical.METHODS[method](np.zeros((1, 28, 28)), 0.5, 1.0)


def test_curve_undoes_what_clipping_does():
    draw = np.random.default_rng(1)
    clean = draw.integers(0, 2, (50, 28, 28)).astype(float)
    curve = classical.fit_curve(0.2 + 0.5 * clean, clean)
    assert curve(np.array([0.2, 0.7])) == pytest.approx([0.0, 1.0])


def test_curve_never_falls(digits):
    noisy = noise_levels.corrupt(digits, 0.7, 1) / 255.0
    wanted = classical.fit_curve(noisy, digits / 255.0)(np.linspace(-0.5, 1.5, 300))
    assert (np.diff(wanted) >= 0.0).all()


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_curve_of_one_grey_value(value):
    assert classical.fit_curve(np.full((1, 2, 2), 0.5), np.full((1, 2, 2), value))(np.array([0.1])) == pytest.approx(
        value
    )


@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.0, 1.5])
def test_noise_on_black_is_what_is_drawn(sigma):
    drawn = np.clip(sigma * np.random.default_rng(1).standard_normal(400_000), 0.0, 1.0)
    assert classical.noise_on_black(sigma) == pytest.approx(drawn.std(), rel=0.01)


def test_linear_regression_is_what_scikit_learn_fits(digits):
    from sklearn.linear_model import Ridge

    noisy = noise_levels.corrupt(digits, 0.5, 1)
    fitted = classical.fit_linear(noisy, digits, 0.01)
    x, y = noisy.reshape(len(noisy), -1) / 255.0, digits.reshape(len(digits), -1) / 255.0
    oracle = Ridge(alpha=0.01 * len(x)).fit(x, y)
    assert fitted.weight == pytest.approx(oracle.coef_, abs=1e-8)
    assert fitted.bias == pytest.approx(oracle.intercept_, abs=1e-8)
    assert fitted(noisy / 255.0).reshape(len(x), -1) == pytest.approx(oracle.predict(x), abs=1e-8)
