"""Write vocab/zh_en.txt: `python -m benchmarks.make_vocab [out]`.

ASCII first, then signs, then GB2312's hanzi in its own order, so that the 3,755 characters of
level 1 (by pronunciation) come before the 3,008 of level 2 (by radical).
"""

import sys

from crnnkit.vocab import Vocab

ASCII = "".join(map(chr, range(0x20, 0x7F)))

SIGNS = (
    "，。、；：？！…—～·“”‘’（）《》〈〉【】〔〕〖〗「」『』"
    "％＋－＝＜＞＃＆＊＠／＼＿｛｝［］｜￥"
    "〇々〃"
    "¥€£¢§©®™†•"
    "°′″℃℉‰×÷±≈≠≡≤≥∞√∑∏∫∠⊥∥∵∴∝∈∩∪"
    "№²³¹½¼¾Ø㎡㎜㎝㎞㎎㎏㏄"
    "←↑→↓○●◎◇◆□■△▲▽▼☆★✓✔✕"
    "ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩⅪⅫ"
    "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"
    "αβγδεζηθικλμνξοπρςστυφχψω"
    # Capitals that look like Latin ones are left out: no reader can tell them apart.
    "ΓΔΘΛΞΠΣΦΨΩ"
)


def gb2312_hanzi() -> str:
    """The 6,763 hanzi of GB2312: rows 16 to 87; the last five cells of row 55 are empty."""
    cells = ((row, cell) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF))
    filled = (bytes(c) for c in cells if not (c[0] == 0xD7 and c[1] >= 0xFA))
    return b"".join(filled).decode("gb2312")


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "vocab/zh_en.txt"
    vocab = Vocab(ASCII + SIGNS + gb2312_hanzi())
    vocab.save(out)
    print(f"{out}: {len(vocab.charset)} characters, sha256 {vocab.sha256}")
