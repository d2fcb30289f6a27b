import numpy as np

from benchmarks.finetune import learning_curves, tasks
from crnnkit.dataset.index import Line, write_index
from crnnkit.preprocessing.images import write_image


def test_rows_of_earlier_calls_become_curves():
    rows = [
        "| set | train lines | start | minutes | exact % | CER % | folded exact % |",
        "|---|---|---|---|---|---|---|",
        "| plates | 54 | base | 8.0 | 90.00 | 2.50 | 91.00 |",
        "| plates | 2,540 | base | 8.0 | 98.00 | 0.25 | 98.00 |",
        "| plates | 54 | base | 8.0 | 91.00 | 2.00 | 91.00 |",  # once more, so it counts
        "| receipts | 54 | nothing | 8.0 | 1.00 | 75.00 | 1.00 |",
        "| receipts | 0 | RapidOCR | 0 | 9.00 | 12.00 | 9.00 |",  # learnt nothing of it
        "receipts from base: 27 more lines …",
    ]
    assert learning_curves(rows) == {
        "plates": {"base": {54: 0.02, 2540: 0.0025}},
        "receipts": {"nothing": {54: 0.75}},
    }


def test_every_line_is_the_test_of_one_fold_and_never_beside_its_own_text(tmp_path):
    folder = tmp_path / "plates"
    folder.mkdir()
    for split, texts in {"train": "aabcdefgh", "val": "aijklmn"}.items():
        lines = [Line(folder / f"{split}{n}.png", text, n) for n, text in enumerate(texts, 1)]
        for line in lines:
            write_image(line.image, np.zeros((8, 8), np.uint8))
        write_index(folder / f"{split}.txt", lines)
    (whole,) = tasks(tmp_path, "plates", 1)
    assert (len(whole.lines), len(whole.test)) == (9, 7)
    folds = tasks(tmp_path, "plates", 4)
    assert [fold.title for fold in folds] == [f"plates {n}/4" for n in (1, 2, 3, 4)]
    assert sorted(line.text for fold in folds for line in fold.test) == sorted("aabcdefghaijklmn")
    for fold in folds:
        assert len(fold.lines) + len(fold.test) == 16
        assert not {line.text for line in fold.lines} & {line.text for line in fold.test}
