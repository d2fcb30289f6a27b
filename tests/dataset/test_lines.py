from dataclasses import replace

import numpy as np
import pytest
import torch

from crnnkit.dataset.index import Line
from crnnkit.dataset.lines import batches, load_lines
from crnnkit.errors import ImageError, VocabError
from crnnkit.preprocessing.images import read_image, write_image
from crnnkit.preprocessing.tensors import LineConfig, line_to_array

TEXTS = ["1", "12", "北京", "A1 B2", "0123456789", "AB", "北京市 0123456789AB", "9"]


@pytest.fixture
def lines(tmp_path, make_line):
    made = []
    for number, text in enumerate(TEXTS, 1):
        path = tmp_path / f"{number}.png"
        write_image(path, make_line(text))
        made.append(Line(path, text, number))
    return made


def test_every_line_comes_once_in_batches_of_equal_width(lines, tiny_vocab):
    loaded = load_lines(lines, tiny_vocab, LineConfig())
    seen = []
    for batch in batches(loaded, 3, shuffle_seed=(1, 1), varied_share=1.0):
        assert len(batch.lines) <= 3
        assert batch.images.shape[:3] == (len(batch.lines), 1, 32)
        seen += [line.line_number for line in batch.lines]
    assert sorted(seen) == list(range(1, len(TEXTS) + 1))


def test_targets_are_the_texts(lines, tiny_vocab):
    for batch in batches(load_lines(lines, tiny_vocab, LineConfig()), 8):
        for ids, length, line in zip(
            batch.target_ids.tolist(), batch.target_lengths.tolist(), batch.lines, strict=True
        ):
            assert tiny_vocab.decode(ids[:length]) == line.text
            assert not any(ids[length:])


@pytest.mark.parametrize(
    "config",
    [
        LineConfig(),
        LineConfig("modelscope", width_multiple=640, max_width=640),
        LineConfig("meijieru", width_multiple=1, min_width=100, max_width=100),
    ],
)
def test_training_sees_the_array_that_serving_sees(config, lines, tiny_vocab):
    in_colour = read_image(lines[2].image)[:, :, np.newaxis] // np.array([1, 2, 3], np.uint8)
    write_image(lines[2].image, in_colour)
    for batch in batches(load_lines(lines, tiny_vocab, config), 8):
        for image, line in zip(batch.images, batch.lines, strict=True):
            served = line_to_array(read_image(line.image), config)
            np.testing.assert_array_equal(image.numpy(), served)


def test_order_and_variation_follow_the_seed(lines, tiny_vocab):
    loaded = load_lines(lines, tiny_vocab, LineConfig())

    def run(seed, varied_share=1.0):
        return torch.cat([b.images.flatten() for b in batches(loaded, 2, (7, seed), varied_share)])

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert not torch.equal(run(1), run(1, varied_share=0.0))


def test_faults_stop_the_loading(lines, tiny_vocab, tmp_path):
    with pytest.raises(VocabError, match="'沪'"):
        load_lines([Line(lines[0].image, "沪", 1)], tiny_vocab, LineConfig())
    with pytest.raises(ImageError, match=r"gone\.png"):
        load_lines([Line(tmp_path / "gone.png", "1", 1)], tiny_vocab, LineConfig())


def test_lines_that_may_not_vary_stay_as_they_are(lines, tiny_vocab):
    loaded = load_lines(lines, tiny_vocab, LineConfig())
    fixed = [replace(item, varies=False) for item in loaded]

    def images(items, share):
        return [b.images for b in batches(items, 1, (1, 1), share)]

    plain, still = images(loaded, 0.0), images(fixed, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(plain, still, strict=True))


def test_the_share_of_varied_lines_is_kept(lines, tiny_vocab):
    loaded = load_lines(lines[:1], tiny_vocab, LineConfig()) * 400
    plain = next(batches(loaded[:1], 1)).images
    varied = sum(not torch.equal(b.images, plain) for b in batches(loaded, 1, (1, 1), 0.4))
    assert 120 < varied < 200


def test_rows_of_a_batch_keep_their_pictures_and_labels(lines, tiny_vocab):
    (batch, *_) = batches(load_lines(lines * 2, tiny_vocab, LineConfig()), 3)
    last, first = len(batch.lines) - 1, 0
    part = batch.take([last, first])
    assert part.lines == (batch.lines[last], batch.lines[first])
    assert torch.equal(part.images, torch.stack([batch.images[last], batch.images[first]]))
    assert torch.equal(part.target_ids, batch.target_ids[[last, first]])
    assert part.target_lengths.tolist() == batch.target_lengths[[last, first]].tolist()
    nothing = batch.take([])
    assert (len(nothing.images), nothing.lines) == (0, ())
