"""The text mixture that the base checkpoint is trained on: Chinese, English, numbers, codes."""

import re

import numpy as np

from crnnkit.dataset.texts import (
    Lexicon,
    Pattern,
    TextSource,
    mixture,
    phrase,
    random_string,
    recased,
)

_PATTERN_TABLE = """
{year}-{month:02}-{day:02}   {year}/{month:02}/{day:02}   {day:02}/{month:02}/{year}
{year}年{month}月{day}日   {month}月{day}日   {year}.{month:02}.{day:02}
{hour:02}:{minute:02}:{second:02}   {hour:02}:{minute:02}   {hour}:{minute:02} {AM|PM|am|pm}
{day:02}-{month:02}-{year} {hour:02}:{minute:02}
{day} {Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec} {year}   {¥|￥|$|RM|€|£|}{n}.{n:02}
{¥|￥|$|RM |}{n:01},{n:03}.{n:02}   {n}元   {n}.{n:01}元   -{n:02}.{n:02}   {n}%
{n:02}.{n:01}％   {n} x {n:02}.{n:02}   {n:01} X {n}.{n:02} {SR|ZR|S|Z}   ({n:02}/{n:02})
({n:01}/{n:02})   {n:02}-{n:04} {n:04}   1{3|5|7|8|9}{n:09}   {n:03}-{n:08}   {n:08}   {n:012}
{n:05}   {n:04}   {n:02}   {n:01}   {n}   #{n:05}   ({n:06}-{letter})   -{letter}{n:02}
-{letter}{letter}{n:01}   {letter}{n:02}   {n:01}{letter}{n:02}   {n:02}{letter}{n:02}
{letter}{n:02}{letter}{n:02}   {letter}{letter}{n:02}   {letter}{letter}{n:01}:{n:01}
{letter}{n:01}:{n:02}:{n:01}   -{letter}{letter}{n:01}{letter}{n:01}
-{letter}{letter}{n:01}{letter}{letter}{letter}   {letter}{n:04}   {letter}{letter}-{n:03}
{letter}{letter}{letter}-{n:03}-{letter}   {letter}{n:08}   {n:03} {n:03} {n:07}   {n:02}mm
{n}kg   {n}g   {n}ml   {n:02}℃   {n:02}.{n:01}℃   {n}V   {n:02}A   {n}kW   ±{n:01}.{n:02}
Φ{n:02}   φ{n:02}.{n:01}   M{n:01}×{n:02}   {n:02}×{n:02}×{n:02}   {n:02}°{n:02}′{n:02}″
№{n:04}   {n}㎡   {word}:{n:02}   {word}: {n:02}/{n:02}   {word}：{n}   {word}({n:01}/{n:01})
{word}{n:02}   第{n:02}{页|章|号|次|轮|步|期}   {n:01}{份|个|件|台|只|名|盒|瓶|片|次|天}{word}
{word}No.{n:05}   {word}{year}年   {word}{letter}{n:02}   {letter}{word}
{①|②|③|④|⑤|⑥|⑦|⑧|⑨|⑩}{word}   ({n:01}){word}   （{n:01}）{word}
{一|二|三|四|五|六|七|八|九|十}、{word}   {Ⅰ|Ⅱ|Ⅲ|Ⅳ|Ⅴ|Ⅵ}{型|级|期|类}{word}   《{word}》
“{word}”   【{word}】   {word}？   {word}！   {word}。   {word}…   Tel: {n:02}-{n:04} {n:04}
TEL : {n:02}-{n:04} {n:04}   FAX: {n:02}-{n:08}   GST ID : {n:012}   INVOICE NO: {letter}{n:07}
{京|沪|津|渝|冀|晋|蒙|辽|吉|黑|苏|浙|皖|闽|赣|鲁|豫|鄂|湘|粤|桂|琼|川|贵|云|藏|陕|甘|青|宁|新}{letter}{·|}{letter}{n:04}
{京|沪|津|渝|冀|晋|蒙|辽|吉|黑|苏|浙|皖|闽|赣|鲁|豫|鄂|湘|粤|桂|琼|川|贵|云|藏|陕|甘|青|宁|新}{letter}{·|}{n:03}{letter}{letter}
"""
NUMBER_PATTERNS = tuple(re.split(r" {3}|\n", _PATTERN_TABLE.strip()))
"""Separated by three spaces or a line end; single spaces belong to the pattern."""

_CODE_CHARACTERS = "0123456789" * 2 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "-:./"
_PUNCTUATION = tuple("，、。；： ·“”！？（）,:-《》—")


def general_texts(charset: str, chinese: Lexicon, english: Lexicon) -> TextSource:
    """A mixture in which every character of the charset occurs often enough to be learnt."""
    ascii_characters = "".join(c for c in charset if c.isascii() and c != " ")
    signs = "".join(c for c in charset if not c.isascii() and not _is_hanzi(c))
    hanzi = "".join(c for c in charset if _is_hanzi(c))
    patterns = mixture([(1.0, Pattern(p, chinese)) for p in NUMBER_PATTERNS])
    words = recased(english)
    english_punctuation = (" ",) * 12 + tuple("-/") + (", ", ". ", ": ", " - ", " & ", " (", ") ")
    sign_or_word = mixture([(0.5, random_string(signs, (1, 1))), (0.5, chinese)])
    fields = mixture([(1, chinese), (1, words), (2, patterns)])
    return mixture(
        [
            (0.20, phrase(chinese, (1, 6))),
            (0.12, phrase(chinese, (2, 6), ("",) * 6 + _PUNCTUATION)),
            (0.11, random_string(hanzi, (1, 12))),
            (0.17, phrase(words, (1, 5), english_punctuation)),
            (0.20, patterns),
            (0.07, phrase(fields, (2, 3), (" ", ": ", " "))),
            (0.04, phrase(mixture([(2, chinese), (1, words), (1, patterns)]), (2, 4))),
            (0.03, random_string(_CODE_CHARACTERS, (1, 12))),
            (0.03, random_string(ascii_characters, (1, 12))),
            (0.05, phrase(sign_or_word, (2, 5))),
        ]
    )


def _is_hanzi(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def within(source: TextSource, charset: str, max_characters: int) -> TextSource:
    """The source's texts cut to `max_characters`, without those that leave the charset."""
    allowed = frozenset(charset)

    def draw(rng: np.random.Generator) -> str:
        while True:
            text = source(rng)[:max_characters].strip()
            if text and allowed.issuperset(text):
                return text

    return draw
