import numpy as np
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from domain_denoiser.core import images
from domain_denoiser.core.metrics import PSNR_CAP_DB, mse, psnr_db, ssim
from domain_denoiser.core.noise import add_noise
from domain_denoiser.core.seeds import generator


@pytest.fixture(params=["digits", "noise", "oblong noise", "nearly black"])
def pair(request, digits) -> tuple[torch.Tensor, torch.Tensor]:
    """restored and clean, float64 [N, 1, H, W]."""
    draw = generator("cpu", 2018, "metrics")
    if request.param == "digits":
        clean = images.to_float(digits[:20], "cpu")
        return add_noise("gaussian", clean, torch.linspace(0.01, 1.0, 20), draw).double(), clean.double()
    shape = (8, 1, 17, 40) if request.param == "oblong noise" else (8, 1, 28, 28)
    scale = 0.01 if request.param == "nearly black" else 1.0
    return tuple(scale * torch.rand(shape, generator=draw, dtype=torch.float64) for _ in range(2))


def each(metric, restored, clean):
    """scikit-image's value of each image."""
    return np.array([metric(a.numpy(), b.numpy()) for a, b in zip(clean.squeeze(1), restored.squeeze(1))])


def skimage_ssim(a, b):
    return structural_similarity(a, b, gaussian_weights=True, use_sample_covariance=False, data_range=1)


def test_mse_is_that_of_scikit_image(pair):
    np.testing.assert_allclose(mse(*pair), each(mean_squared_error, *pair), rtol=1e-12)


def test_psnr_is_that_of_scikit_image(pair):
    oracle = each(lambda a, b: peak_signal_noise_ratio(a, b, data_range=1), *pair)
    np.testing.assert_allclose(psnr_db(mse(*pair)), oracle, rtol=1e-12)


def test_ssim_is_that_of_scikit_image(pair):
    np.testing.assert_allclose(ssim(*pair), each(skimage_ssim, *pair), atol=1e-10)


def test_float32_is_precise_enough_for_a_report(digits):
    clean = images.to_float(digits, "cpu")
    noisy = add_noise("gaussian", clean, torch.full((len(clean),), 0.1), generator("cpu", 2018, "metrics"))
    np.testing.assert_allclose(ssim(noisy, clean), each(skimage_ssim, noisy.double(), clean.double()), atol=1e-4)
    np.testing.assert_allclose(psnr_db(mse(noisy, clean)), psnr_db(mse(noisy.double(), clean.double())), atol=1e-4)


def test_identical_images_are_perfect(digits):
    clean = images.to_float(digits, "cpu")
    assert mse(clean, clean).equal(torch.zeros(len(clean)))
    assert psnr_db(mse(clean, clean)).equal(torch.full((len(clean),), PSNR_CAP_DB))
    np.testing.assert_allclose(ssim(clean, clean), 1.0, atol=1e-6)


def test_both_orders_give_the_same(pair):
    restored, clean = pair
    for metric in (mse, ssim):
        torch.testing.assert_close(metric(restored, clean), metric(clean, restored), rtol=1e-12, atol=1e-15)


def test_psnr_of_known_errors():
    # 10 log10(1 / mse) by hand; 1e-10 is exactly at the cap, 1e-11 beyond it.
    found = psnr_db(torch.tensor([1.0, 0.1, 0.01, 1e-9, 1e-10, 1e-11, 0.0], dtype=torch.float64))
    np.testing.assert_allclose(found, [0, 10, 20, 90, 100, 100, 100], atol=1e-9)


def test_all_black_against_all_white_is_the_worst():
    black, white = torch.zeros(1, 1, 28, 28), torch.ones(1, 1, 28, 28)
    assert mse(black, white).item() == 1.0
    assert psnr_db(mse(black, white)).item() == 0.0


def test_more_noise_is_worse(digits):
    clean = images.to_float(digits, "cpu")
    means = []
    for sigma in (0.05, 0.1, 0.25, 0.5, 1.0):
        noisy = add_noise("gaussian", clean, torch.full((len(clean),), sigma), generator("cpu", 2018, "metrics"))
        means.append((mse(noisy, clean).mean(), -ssim(noisy, clean).mean()))
    assert means == sorted(means)
    assert [m[1] for m in means] == sorted(m[1] for m in means)


def test_an_image_is_measured_alone(pair):
    restored, clean = pair
    for metric in (mse, ssim):
        alone = torch.cat([metric(restored[i : i + 1], clean[i : i + 1]) for i in range(len(clean))])
        torch.testing.assert_close(metric(restored, clean), alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("metric", [mse, ssim])
@pytest.mark.parametrize("shape", [(2, 1, 28, 27), (1, 1, 28, 28), (2, 28, 28), (2, 3, 28, 28)])
def test_other_shapes_are_refused(metric, shape):
    with pytest.raises(ValueError, match=r"must both be \[N, 1 or 3, H, W\]"):
        metric(torch.zeros(shape), torch.zeros(2, 1, 28, 28))


def test_ssim_refuses_images_smaller_than_its_window():
    small = torch.zeros(1, 1, 28, 10)
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(small, small)
