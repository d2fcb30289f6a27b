"""What the counts of a data set say, by hand-made sets."""

from pathlib import Path

from crnnkit.dataset.index import Line
from crnnkit.dataset.profile import WidthTwins, profile_lines


def lines_of(*texts: str) -> list[Line]:
    return [Line(Path(f"/{n}.png"), text, n) for n, text in enumerate(texts, start=1)]


def test_characters_are_counted_once_per_line() -> None:
    counts = profile_lines({"train": lines_of("AAB", "A", "C")}).splits["train"]
    assert counts.characters == {"A": 2, "B": 1, "C": 1}
    assert counts.rare(below=2) == {"C": 1, "B": 1}
    assert counts.rare(below=1) == {}
    assert counts.lengths == {1: 2, 3: 1}
    assert (counts.num_lines, counts.num_texts) == (3, 3)


def test_doubled_characters_are_neighbours_of_one_kind() -> None:
    # 0 twice in one line counts once; ABA has no equal neighbours
    counts = profile_lines({"train": lines_of("1001001", "1100", "ABA")}).splits["train"]
    assert counts.doubled == {"0": 2, "1": 1}
    assert counts.num_doubled == 2


def test_texts_of_later_splits_are_seen_or_not() -> None:
    profile = profile_lines({"train": lines_of("A", "A", "B"), "val": lines_of("A", "A", "C")})
    assert [s.num_seen for s in profile.splits.values()] == [0, 2]
    assert profile.splits["val"].num_texts == 2
    assert "2 lines have a text of train, 1 have another" in profile.format()


def test_width_twins_are_those_that_both_occur() -> None:
    train = lines_of("a:b", "Ａ1", "c:d", "a：b", "x．y")
    (twins,) = profile_lines({"train": train, "val": lines_of("：")}).width_twins
    # ':' and '：' are a tie: the half-width one, first by code point, is called the frequent one
    assert twins == WidthTwins(":", 2, "：", 2, "train:4")


def test_the_rarer_twin_is_the_one_whose_place_is_told() -> None:
    profile = profile_lines({"train": lines_of("：", "：", "(", ":", "（")})
    assert [(t.often, t.seldom, t.first_seldom) for t in profile.width_twins] == [
        ("：", ":", "train:4"),
        ("(", "（", "train:5"),
    ]
    assert "both widths: '：' in 2 lines, ':' in 1, first train:4. Write one" in profile.format()


def test_the_histograms_show_every_line_and_character_once() -> None:
    texts = ["A"] * 30 + ["AB"] * 10 + ["C" * 80]
    rows = profile_lines({"train": lines_of(*texts)}).format().splitlines()
    assert rows == [
        "train: 41 lines, 3 texts",
        "  length of a text in characters: lines",
        "           1 " + "█" * 40 + " 30",
        "         2–3 " + "█" * 13 + " 10",
        "         64– █ 1",
        "  lines that hold a character: characters, 3 in all",
        "           1 " + "█" * 40 + " 1",
        "        5–19 " + "█" * 40 + " 1",
        "       20–99 " + "█" * 40 + " 1",
        "  in fewer than 5 lines: 'C'×1",
        "  twice in a row in 1 line (2.4%): 'C'×1",
    ]


def test_an_empty_split_has_a_profile() -> None:
    assert profile_lines({"train": []}).format().startswith("train: 0 lines, 0 texts")


def test_many_characters_are_listed_up_to_40() -> None:
    alphabet = "".join(chr(0x4E00 + n) for n in range(45))
    assert "and 5 more" in profile_lines({"train": lines_of(alphabet)}).format()
