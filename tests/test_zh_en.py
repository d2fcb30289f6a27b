"""The shipped vocabulary holds what forms, receipts and nameplates are written with."""

import runpy
from pathlib import Path

import pytest

from crnnkit.vocab import Vocab

ROOT = Path(__file__).parents[1]
VOCAB = Vocab.load(ROOT / "vocab/zh_en.txt")


def test_file_is_what_its_maker_makes() -> None:
    maker = runpy.run_path(str(ROOT / "benchmarks/make_vocab.py"))
    assert maker["ASCII"] + maker["SIGNS"] + maker["gb2312_hanzi"]() == VOCAB.charset


def test_hanzi_are_all_of_gb2312_with_level_1_first() -> None:
    hanzi = "".join(c for c in VOCAB.charset if "\u4e00" <= c <= "\u9fff")
    assert len(hanzi) == 6763
    rows = [c.encode("gb2312")[0] - 0xA0 for c in hanzi]
    assert rows == sorted(rows)
    assert (rows[0], rows[-1]) == (16, 87)
    assert (hanzi[3754], hanzi[3755]) == ("座", "亍")  # last of level 1, first of level 2


@pytest.mark.parametrize(
    "signs",
    [
        "".join(map(chr, range(0x20, 0x7F))),
        "，。、；：？！…—～·“”‘’（）《》【】「」",
        "％＋－＝＆＠／￥",
        "¥℃×±Φ№§°′″÷≤≥≈√→㎡",
        "ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫ",
        "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳",
        "αβγδεζηθικλμνξοπρστυφχψω",
    ],
)
def test_signs_of_forms_are_there(signs: str) -> None:
    assert VOCAB.missing(signs) == []
