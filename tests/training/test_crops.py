"""The parts of images that an epoch sees lie inside, and every place and every symmetry comes up."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_denoiser.base.errors import BadInput
from domain_denoiser.core import images
from domain_denoiser.core.seeds import generator
from domain_denoiser.params import Constant, Given
from domain_denoiser.training.crops import Crops
from domain_denoiser.training.loop import Images, batches

FIXED = Constant(law="constant", noise="gaussian", sigma=0.5)
GIVEN = Given(law="given", sigma=0.1)
FORMS = {"grey": (), "colour": (3,)}
DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}
HEIGHT, WIDTH = 13, 17


def places(count: int, *channels: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Images [N, ..., 13, 17], each of whose pixels says where it is: no two pixels of an image are equal."""
    each = torch.arange(HEIGHT * WIDTH, dtype=torch.float32).view(HEIGHT, WIDTH).to(dtype)
    return each.expand(count, *channels, HEIGHT, WIDTH).clone()


def drawn(shape: tuple[int, ...], side: int | None, augment: bool, exchange: bool = False, seed: int = 0) -> Crops:
    return Crops.draw(shape, side, augment, exchange, torch.Generator().manual_seed(seed))


def square_symmetries(image: np.ndarray) -> list[np.ndarray]:
    """The image [H, H] as it is and turned by one to three quarters, and its mirror image so."""
    return [np.rot90(one, quarters) for one in (image, np.fliplr(image)) for quarters in range(4)]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("channels", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("side", [None, 5])
def test_every_part_is_one_of_the_symmetries_of_a_square_inside_its_image(dtype, channels, side):
    whole = places(200, *channels, dtype=dtype)[..., :HEIGHT]
    crops = drawn(whole.shape, side, augment=True)
    parts = crops(whole, torch.arange(200))
    assert (parts.shape, parts.dtype) == ((200, *channels, side or HEIGHT, side or HEIGHT), dtype)
    grey = parts.numpy().reshape(200, -1, side or HEIGHT, side or HEIGHT)
    for image, part in zip(whole.numpy().reshape(200, -1, HEIGHT, HEIGHT), grey):
        top, left = (int(place) for place in np.argwhere(image[0] == part[0].min())[0])
        inside = image[0, top : top + len(part[0]), left : left + len(part[0])]
        assert sum(np.array_equal(part[0], one) for one in square_symmetries(inside)) == 1
        assert (part == part[0]).all()  # all channels show the same place


def test_every_corner_comes_up_equally_often():
    count, side = 9000, 5
    parts = drawn((count, HEIGHT, WIDTH), side, augment=False)(places(count), torch.arange(count))
    found, times = parts[:, 0, 0].unique(return_counts=True)
    expected = [top * WIDTH + left for top in range(HEIGHT - side + 1) for left in range(WIDTH - side + 1)]
    assert found.tolist() == expected
    mean = count / len(expected)
    assert (times - mean).abs().max() < 6 * mean**0.5


def test_all_eight_symmetries_come_up_equally_often():
    count = 8000
    image = torch.arange(9.0).view(3, 3)
    turned = drawn((count, 3, 3), None, augment=True)(image.expand(count, 3, 3), torch.arange(count))
    found, times = turned.flatten(1).unique(dim=0, return_counts=True)
    assert {tuple(one) for one in found.tolist()} == {
        tuple(one.flatten().tolist()) for one in square_symmetries(image.numpy())
    }
    assert len(found) == 8
    assert (times - count / 8).abs().max() < 6 * (count / 8) ** 0.5


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_all_six_orders_of_the_colours_come_up_equally_often(dtype):
    count = 6000
    one = torch.tensor([10, 20, 30]).view(3, 1, 1).expand(3, 8, 8).to(dtype)
    seen = drawn((count, 3, 8, 8), None, augment=False, exchange=True)(
        one.expand(count, 3, 8, 8).clone(), torch.arange(count)
    )
    assert seen.dtype == dtype
    found, times = seen[:, :, 0, 0].long().unique(dim=0, return_counts=True)
    assert found.tolist() == sorted(map(list, itertools.permutations([10, 20, 30])))
    assert (times - count / 6).abs().max() < 6 * (count / 6) ** 0.5


def test_the_places_do_not_depend_on_whether_colours_are_exchanged():
    whole = places(50, 3)
    one, other = (drawn(whole.shape, 6, augment=True, exchange=exchange) for exchange in (False, True))
    assert one(whole, torch.arange(50)).equal(other(whole, torch.arange(50)))  # whose three channels are alike


def test_a_part_as_large_as_the_image_is_the_image():
    whole = places(4)[:, :, :HEIGHT]
    assert drawn(whole.shape, HEIGHT, augment=False)(whole, torch.arange(4)).equal(whole)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_without_side_and_symmetries_images_are_as_they_are(dtype):
    whole = places(6, dtype=dtype)
    whole[:, 0, 0] = torch.arange(6).to(dtype)
    some = torch.tensor([4, 0, 5])
    seen = drawn(whole.shape, None, augment=False)(whole, some)
    assert seen.dtype == dtype
    np.testing.assert_array_equal(seen.numpy(), whole.numpy()[some.numpy()])


@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    side=st.integers(1, 8),
    augment=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_what_an_image_shows_depends_on_no_other_image_of_its_batch(height, width, side, augment, seed):
    whole = torch.rand(5, height, width, generator=torch.Generator().manual_seed(1))
    crops = drawn(whole.shape, side, augment, seed=seed)
    together = crops(whole, torch.arange(5))
    alone = torch.cat([crops(whole, torch.tensor([at])) for at in (3, 1, 4, 0, 2)])
    assert together[[3, 1, 4, 0, 2]].equal(alone)


def test_equal_generators_draw_equal_parts_and_others_do_not():
    whole, all_of_them = places(50), torch.arange(50)
    one, again, other = (drawn(whole.shape, 6, augment=True, seed=seed)(whole, all_of_them) for seed in (1, 1, 2))
    assert one.equal(again)
    assert not one.equal(other)


@pytest.mark.parametrize("shape", [(2, 7, 30), (2, 30, 7), (2, 3, 30, 7)])
def test_parts_larger_than_the_images_are_refused(shape):
    expected = f"crops of 8 x 8 pixels do not fit into images of {shape[-1]} x {shape[-2]}"
    with pytest.raises(BadInput, match=expected):
        drawn(shape, 8, augment=False)


def test_quarter_turns_of_oblong_images_are_refused():
    with pytest.raises(BadInput, match="images of 30 x 8 pixels cannot be turned by a quarter: crop them to squares"):
        drawn((2, 8, 30), None, augment=True)
    drawn((2, 8, 30), 8, augment=True)  # parts of them can
    drawn((2, 8, 30), None, augment=False)


# What the training makes of them


def epoch_of(train: Images, settings, regime=GIVEN, seed: int = 2018, epoch: int = 2):
    """The noisy and the clean images of an epoch, in its order."""
    noisy, clean = zip(*batches(train, regime, settings, seed, epoch))
    return torch.cat(noisy), torch.cat(clean)


@pytest.fixture
def cropping(make_settings):
    """Settings of a model that sees parts of 8 x 8 pixels, flipped and turned, of given noisy images."""
    return make_settings(noise="frozen", crop=8, augment=True, batch_size=3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("channels", FORMS.values(), ids=FORMS)
def test_clean_and_noisy_images_show_the_same_part(cropping, dtype, channels):
    clean = places(40, *channels, dtype=dtype)
    train = Images(clean, (places(40, *channels) + 30).to(dtype))
    noisy, wanted = epoch_of(train, cropping)
    assert wanted.shape == (40, *(channels or (1,)), 8, 8)
    largest = 255 if dtype == torch.uint8 else 65_535
    assert ((noisy - wanted) * largest).round().equal(torch.full_like(wanted, 30.0))


def test_fresh_noise_lies_on_the_part_that_is_seen(make_settings):
    clean = places(40) / (HEIGHT * WIDTH * 2) + 0.25
    faint = Constant(law="constant", noise="gaussian", sigma=0.001)
    settings = make_settings(noise="fresh", crop=8, augment=True)
    noisy, wanted = epoch_of(Images(clean[:, None], clean[:, None]), settings, faint)
    assert 0.0009 < (noisy - wanted).std() < 0.0011


def colours(count: int) -> torch.Tensor:
    """Images [N, 3, 8, 8], each red, green or blue all over, by its number."""
    return torch.eye(3).repeat(count, 1)[:count, :, None, None].expand(count, 3, 8, 8).mul(150).to(torch.uint8)


def test_clean_and_noisy_images_have_the_same_colours_exchanged(make_settings):
    clean = colours(300)
    noisy, wanted = epoch_of(Images(clean, clean + 30), make_settings(noise="frozen", augment=True), FIXED)
    assert ((noisy - wanted) * 255).round().equal(torch.full_like(wanted, 30.0))
    order = torch.randperm(300, generator=generator("cpu", 2018, "order", 2))
    assert (wanted != images.scaled(clean[order])).any()


@pytest.mark.parametrize(("augment", "regime"), [(True, GIVEN), (False, FIXED)], ids=["pairs", "augment: false"])
def test_colours_stay_as_they_are(make_settings, augment, regime):
    clean = colours(60)
    _, seen = epoch_of(Images(clean, clean), make_settings(noise="frozen", augment=augment), regime)
    order = torch.randperm(60, generator=generator("cpu", 2018, "order", 2))
    assert seen.equal(images.scaled(clean[order]))


def test_equal_seed_and_epoch_see_equal_parts_and_others_do_not(cropping):
    train = Images(places(40, dtype=torch.uint8), places(40, dtype=torch.uint8))
    (_, one), (_, again) = epoch_of(train, cropping), epoch_of(train, cropping)
    assert one.equal(again)
    for other in ({"seed": 2019}, {"epoch": 3}):
        _, seen = epoch_of(train, cropping, **other)
        # As the images are alike, their order does not matter: the parts do.
        assert not seen.flatten(1).unique(dim=0).equal(one.flatten(1).unique(dim=0))


def test_the_parts_do_not_depend_on_the_noise_nor_on_the_batch_size(make_settings):
    train = Images(places(40, dtype=torch.uint8), places(40, dtype=torch.uint8))
    seen = [
        epoch_of(train, make_settings(crop=8, augment=True, **changed), FIXED)[1]
        for changed in ({"noise": "frozen"}, {"noise": "fresh"}, {"noise": "frozen", "batch_size": 7})
    ]
    assert seen[0].equal(seen[1])
    assert seen[0].equal(seen[2])


def test_images_are_drawn_anew_in_each_epoch(cropping):
    """Image 0 is seen in many places and turned in all ways."""
    whole = places(1, dtype=torch.uint8)
    train = Images(whole, whole)
    seen = torch.cat([epoch_of(train, cropping, epoch=epoch)[1] for epoch in range(1, 101)])
    assert len(seen.flatten(1).unique(dim=0)) > 80


def test_drawn_parts_of_images_on_disk_are_those_of_images_in_memory(cropping, tmp_path, digits):
    images.save(tmp_path / "clean.npy", digits)
    on_disk = torch.from_numpy(images.mapped(tmp_path / "clean.npy"))
    in_memory = images.to_float(digits, "cpu")
    for mapped, loaded in zip(
        epoch_of(Images(on_disk, on_disk), cropping), epoch_of(Images(in_memory, in_memory), cropping)
    ):
        assert mapped.equal(loaded)


def test_without_crop_and_augment_an_epoch_sees_the_images_themselves(make_settings):
    clean = torch.arange(10, dtype=torch.uint8).view(10, 1, 1).expand(10, 28, 28).clone()
    settings = make_settings(noise="frozen", crop=None, augment=False, batch_size=4)
    noisy, seen = epoch_of(Images(clean, clean), settings)
    order = torch.randperm(10, generator=generator("cpu", 2018, "order", 2))
    assert seen.equal(images.scaled(clean[order]))
    assert noisy.equal(seen)
