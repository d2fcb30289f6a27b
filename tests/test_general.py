"""The general lines that ship with the project: whole, and of every character."""

from crnnkit.dataset.index import read_index
from crnnkit.preprocessing.images import read_image
from crnnkit.vocab import Vocab
from crnnkit.workbook.handover import project_root

GENERAL = project_root() / "data" / "general"
# what no training face draws: fonts.py names the families
MAX_MISSING = 0.01


def test_training_lines_hold_nearly_every_character_of_the_base():
    charset = Vocab.load(project_root() / "vocab" / "zh_en.txt").charset
    texts = "".join(line.text for line in read_index(GENERAL / "train.txt"))
    missing = set(charset) - set(texts)
    assert len(missing) <= MAX_MISSING * len(charset), "".join(sorted(missing))


def test_no_line_is_trained_on_and_measured():
    train, val = (read_index(GENERAL / f"{split}.txt") for split in ("train", "val"))
    assert (len(train), len(val)) == (1500, 200)
    assert not {line.image for line in train} & {line.image for line in val}
    assert (
        len({line.text for line in val} & {line.text for line in train}) <= 4
    )  # numbers, by chance


def test_pictures_are_small_and_readable():
    for line in read_index(GENERAL / "val.txt"):
        assert read_image(line.image).shape[0] <= 32
