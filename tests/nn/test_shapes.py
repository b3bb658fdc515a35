import pytest

from deepen.core.errors import ShapeError
from deepen.nn.shapes import ImageShape, TableShape, require_side


def test_an_image_counts_its_values_and_its_shorter_side():
    image = ImageShape(channels=3, height=7, width=5)
    assert (image.num_values, image.short_side) == (105, 5)


def test_a_table_may_have_no_categories():
    assert TableShape(numbers=5).categories == ()


def test_too_small_images_are_refused_with_the_minimum():
    require_side("Net", ImageShape(1, 11, 13), 11)
    with pytest.raises(ShapeError, match=r"Net needs images of at least 12x12 pixels, but these are 11x13"):
        require_side("Net", ImageShape(1, 11, 13), 12)
