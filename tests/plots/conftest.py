"""Drawn figures, and what can be read in them."""

import io
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.offsetbox import AnnotationBbox
from PIL import Image

CHINESE = "参苓白术散 9g×6袋"


@pytest.fixture
def drawn():
    """Give the test a function that renders a figure, or fails on a warning: uint8 (H, W, 3)."""

    def draw(figure):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.asarray(Image.open(io.BytesIO(figure._repr_jpeg_())).convert("RGB"))

    return draw


@pytest.fixture
def words():
    """Give the test a function that lists every text that matplotlib writes itself."""

    def read(figure):
        figure.draw_without_rendering()
        found = [text.get_text() for axes in figure.axes for text in axes.texts]
        found += [axes.get_title() for axes in figure.axes] + [t.get_text() for t in figure.texts]
        return [text for text in found if text]

    return read


@pytest.fixture
def text_boxes():
    """Give the test a function that lists the texts that axes hold as pictures."""

    def find(axes):
        return [artist for artist in axes.artists if isinstance(artist, AnnotationBbox)]

    return find


@pytest.fixture
def ink_of():
    """Give the test a function from a text's picture to its ink, (H, W)."""

    def ink(box):
        return np.asarray(box.offsetbox.get_data())[..., 3]

    return ink


@pytest.fixture
def epoch():
    """Give the test a function that makes an epoch's numbers."""

    def make(number, val_cer, val_loss=1.0):
        return SimpleNamespace(
            epoch=number, train_loss=2.0, train_cer=0.5, val_loss=val_loss, val_cer=val_cer
        )

    return make


@pytest.fixture
def line(make_line):
    """Give the test the picture of a line with Chinese."""
    return make_line(CHINESE)
