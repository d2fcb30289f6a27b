from dataclasses import replace

import pytest

from crnnkit.dataset.index import Line, write_index
from crnnkit.finetuning import start
from crnnkit.finetuning.config import TrainConfig
from crnnkit.model.config import ModelConfig, Stage
from crnnkit.preprocessing.images import write_image

TINY = ModelConfig(
    stages=(Stage(8, (2, 2)), Stage(16, (2, 1)), Stage(24, (4, 2))),
    bottleneck=24,
    lstm_hidden=16,
)


@pytest.fixture
def toy_data(tmp_path, make_line):
    """Write train.txt (8 drawn lines) and val.txt (2 of the same texts, drawn otherwise)."""
    folder = tmp_path / "data"
    texts = ["01", "23", "45", "67", "89", "AB", "北京", "市 1"]

    def write(split, chosen, **look):
        lines = []
        for number, text in enumerate(chosen, 1):
            image = folder / f"{split}_{number}.png"
            image.parent.mkdir(exist_ok=True)
            write_image(image, make_line(text, **look))
            lines.append(Line(image, text, number))
        write_index(folder / f"{split}.txt", lines)

    write("train", texts)
    write("val", texts[:2], ink=60)
    return folder


@pytest.fixture
def tiny_network(monkeypatch):
    """The shape of networks that begin from nothing here."""
    monkeypatch.setattr(start, "FROM_NOTHING", replace(TINY, dropout=start.FROM_NOTHING.dropout))
    return TINY


@pytest.fixture
def config(toy_data, tmp_path, tiny_network):
    """Settings of a run on the toy data, of a tiny network where it begins from nothing."""
    return TrainConfig(
        toy_data / "train.txt",
        toy_data / "val.txt",
        tmp_path / "run",
        epochs=2,
        minutes=1e6,  # or the rate of the first steps would depend on how fast the machine is
        batch_size=4,
        epoch_lines=1,
        dropout=0.0,
        precision="float32",
    )
