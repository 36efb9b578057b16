"""Views of a photograph, mapped back to its own grid."""

from __future__ import annotations

import zlib

import pytest
import torch
from torch import nn

from bundle.uncertainty.view_consensus import ViewConsensus, zoomed


class Brightness(nn.Module):
    """Logits that follow the brightness of the pixel, whatever the view: every view must agree."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=1)
        return torch.stack((torch.zeros_like(mean), 4 * mean, 8 * mean - 2), dim=1)


class Corner(nn.Module):
    """Sees a cup in the first quarter of what it is shown: no two flips agree."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = torch.zeros(len(x), 3, *x.shape[2:])
        z[:, 0] = 5.0
        z[:, 2, : x.shape[2] // 2, : x.shape[3] // 2] = 10.0
        return z


class Pointwise(nn.Module):
    """Calls bright pixels disc, each by itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        disc = 8 * x[:, 0] - 4
        return torch.stack((torch.zeros_like(disc), disc, disc - 1), dim=1)


ALL = ((), (2,), (3,), (2, 3))


def test_flipped_views_come_back_to_where_they_were(make_images):
    images = make_images(2, 64, 32)
    found, reach = ViewConsensus(ALL).views_of(images, Brightness())
    assert found.shape == (4, 2, 3, 64, 32)
    for view in found:
        torch.testing.assert_close(view, Brightness()(images).softmax(dim=1))
    assert (reach == 1).all()


def test_zoomed_views_come_back_to_where_they_were(make_images):
    images = nn.functional.avg_pool2d(make_images(1, 64, 64), 9, 1, 4)
    found, reach = ViewConsensus(((), (2,)), zooms=(0.8, 1.25)).views_of(images, Brightness())
    exact = Brightness()(images).softmax(dim=1)
    for view, where in zip(found, reach, strict=True):
        assert ((view - exact).abs() * where).max() < 0.08
    # What lies outside a view magnified by 1.25 is 1 - 1 / 1.25^2 of the picture.
    assert reach[:2].mean() == 1
    assert reach[2:].mean() == pytest.approx(1 / 1.25**2, abs=0.03)


def test_the_consensus_is_the_mean_of_the_probabilities(make_images):
    images = make_images(2, 64, 32)
    network = Corner()
    answer = ViewConsensus(ALL)(images, network).exp()
    p = network(images).softmax(dim=1)
    expected = (p + p.flip(2) + p.flip(3) + p.flip((2, 3))) / 4
    torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-4)


def test_outside_a_magnified_view_the_others_are_averaged_alone():
    images = torch.zeros(1, 3, 64, 64)
    answer = ViewConsensus(((),), zooms=(1.0, 2.0))(images, Corner()).exp()
    once = Corner()(images).softmax(dim=1)
    torch.testing.assert_close(answer[..., 0, 0], once[..., 0, 0], atol=1e-5, rtol=1e-4)
    # In the middle both are seen; the magnified view's corner ends at the middle as well.
    assert answer[0, 2, 24, 24] > 0.9
    assert answer[0, 2, 40, 40] < 0.1


def test_views_that_say_the_same_agree_and_others_do_not(make_images):
    images = make_images(2, 64, 64)
    assert ViewConsensus(ALL).agreement(images, Brightness()).tolist() == [[1.0, 1.0]] * 2
    low = ViewConsensus(((), (2,)), zooms=(1.0,)).agreement(images, Corner())
    assert low.shape == (2, 2)
    # Where two halves exclude each other their mean is 1/2, which is never above 1/2.
    assert (low < 0.7).all()


def test_what_a_view_cannot_see_is_no_disagreement():
    images = torch.ones(1, 3, 64, 64)
    assert ViewConsensus(((),), zooms=(1.0, 1.5)).agreement(images, Brightness()).tolist() == [[1.0, 1.0]]


def test_no_change_of_scale_is_no_change(make_images):
    images = make_images()
    assert zoomed(images, 1.0) is images


@pytest.mark.parametrize("arguments", [{"flips": ()}, {"flips": ((1,),)}, {"zooms": (0.0,)}])
def test_impossible_views_are_refused(arguments):
    with pytest.raises(ValueError, match="view|zooms"):
        ViewConsensus(**arguments)


def test_what_a_magnified_view_cannot_see_is_no_disagreement():
    """A disc at the picture's edge, outside the middle half that a view magnified twice shows."""
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, :4] = 1.0
    together = ViewConsensus(((),), (1.0, 2.0)).agreement(image, Pointwise())
    assert together[0, 0] == 1
    image[:, :, 14:18] = 1.0
    image[:, :, :, :16] = 0.5
    assert ViewConsensus(((),), (1.0, 2.0)).agreement(image, Pointwise())[0, 0] < 1


def test_photographs_take_turns_through_all_views(make_images):
    images = make_images(3, 32, 32)
    names = ["a", "b", "c"]
    of_each = ViewConsensus(ALL).views_of(images, Corner())[0]
    for drawn in (1, 2):
        consensus = ViewConsensus(ALL, drawn=drawn)
        for photograph in range(3):
            seen = []
            for epoch in range(4 // drawn):
                torch.manual_seed(700_021 + epoch)
                found, reach = consensus.views_of(images, Corner(), names)
                assert found.shape == (drawn, 3, 3, 32, 32)
                assert (reach == 1).all()
                mine = found[:, photograph]
                seen += [next(k for k in range(4) if torch.equal(of_each[k, photograph], view)) for view in mine]
            assert sorted(seen) == [0, 1, 2, 3]


def test_which_views_are_drawn_depends_on_the_seed_and_the_name_alone(make_images):
    images = make_images(4, 32, 32)
    names = ["a", "b", "c", "d"]
    consensus = ViewConsensus(ALL, drawn=1)
    torch.manual_seed(5)
    whole = consensus(images, Corner(), names=names)
    torch.rand(7)  # numbers drawn elsewhere, as by the student's dropout
    halves = [consensus(images[part], Corner(), names=names[part]) for part in (slice(2, 4), slice(0, 2))]
    torch.testing.assert_close(torch.cat(halves[::-1]), whole, rtol=0, atol=0)
    torch.manual_seed(6)
    assert not torch.equal(consensus(images, Corner(), names=names), whole)
    assert len({zlib.crc32(name.encode()) % 4 for name in names}) > 1  # not all start with the same view


def test_drawn_zoomed_views_count_only_where_they_show_the_photograph():
    images = torch.zeros(2, 3, 64, 64)
    images[:, :, 24:40, 24:40] = 1
    torch.manual_seed(0)
    found = ViewConsensus(ALL, zooms=(0.8, 1.25), drawn=3)(images, Pointwise(), names=["a", "b"])
    assert ((found.argmax(dim=1) > 0) == (images[:, 0] > 0)).float().mean() > 0.97


def test_drawing_needs_names_and_no_more_views_than_there_are(make_images):
    with pytest.raises(ValueError, match="names"):
        ViewConsensus(ALL, drawn=2)(make_images(1, 32, 32), Corner())
    for drawn in (0, 5):
        with pytest.raises(ValueError, match=f"{drawn} of 4 views cannot be drawn"):
            ViewConsensus(ALL, drawn=drawn)
