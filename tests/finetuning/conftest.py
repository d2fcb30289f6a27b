import pytest

from crnnkit.dataset.index import Line, write_index
from crnnkit.preprocessing.images import write_image


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
