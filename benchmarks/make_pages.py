"""Render the frozen Chinese pages: `python -m benchmarks.make_pages OUT`. Run once; see its README.

Forty pages of six kinds in faces and with texts that the base checkpoint's training never sees.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.make_frozen import handbook_lines, verse_lines, write_hashes
from crnnkit.dataset import degrade, fonts
from crnnkit.dataset.styles import BLACK, WHITE, Colour, Style
from crnnkit.dataset.synth import Renderer
from crnnkit.preprocessing.images import encode_image
from crnnkit.vocab import Vocab, normalize_text

SEED = 20261124
FAMILIES = ("WenQuanYiMicroHei", "TW-Sung")
NAMES = ("打印纸", "签字笔", "文件夹", "订书机", "计算器", "墨盒", "白板", "胶水", "信封", "档案袋")
UNITS = ("箱", "支", "个", "台", "本", "盒")
KEYS = ("产品名称", "规格型号", "生产日期", "保质期", "净含量", "产地", "执行标准", "贮存条件")
SIGNS = ("人民路", "中山大道", "火车站", "机场高速", "市中心医院", "停车场入口", "前方施工",
    "减速慢行", "请勿入内", "安全出口", "消防通道", "禁止吸烟", "北环立交", "服务区")  # fmt: skip
MENU = ("文件", "编辑", "视图", "工具", "窗口", "帮助", "设置", "关于")


class Sheet:
    """A page that remembers what was printed where."""

    def __init__(self, renderer: Renderer, rng: np.random.Generator, size_hw: tuple[int, int],
                 ground: Colour = WHITE) -> None:  # fmt: skip
        self.renderer, self.rng = renderer, rng
        self.image = np.full((*size_hw, 3), ground, np.uint8)
        self.lines: list[tuple[str, np.ndarray]] = []
        face = renderer.choose_faces("的", rng)[0]
        self.faces = lambda text: [face] * len(text) if face.draws(text) else None

    def put(self, text: str, x: int, y: int, height: int, ink: Colour = BLACK) -> int:
        """Print a line, its top left corner at (x, y), on the ground found there; its right end."""
        text = normalize_text(text)
        left, top, right, bottom = self._print(text, x, y, height, ink)
        quad = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
        self.lines.append((text, quad))
        return right

    def put_down(self, text: str, x: int, y: int, height: int, ink: Colour = BLACK) -> int:
        """Print a column of characters; its quad begins where the text does, top right."""
        boxes = []
        for character in text:
            boxes.append(self._print(character, x, y, height, ink))
            y += height + height // 12
        left, top = np.min(boxes, axis=0)[:2]
        right, bottom = np.max(boxes, axis=0)[2:]
        quad = np.array([[right, top], [right, bottom], [left, bottom], [left, top]], float)
        self.lines.append((text, quad))
        return y

    def _print(self, text: str, x: int, y: int, height: int, ink: Colour) -> tuple[int, ...]:
        """Box of the ink: left, top, right, bottom."""
        red, green, blue = ground = self.image[y + height // 2, x].tolist()
        style = Style(height_px=height, full_height=True, margins_em=(0.0,) * 4, ink=ink,
            ground=(red, green, blue), em_px=max(12, round(0.85 * height)))  # fmt: skip
        line = self.renderer.render_line(text, self.rng, style, self.faces(text), in_colour=True)
        width = min(line.image.shape[1], self.image.shape[1] - x)
        if width < line.image.shape[1] or y + height > self.image.shape[0]:
            raise ValueError(f"{text!r} does not fit at {x}, {y}")
        self.image[y : y + height, x : x + width] = line.image
        shown = np.abs(line.image.astype(int) - ground).max(axis=2) > 40
        rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
        return x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1

    def warp(self, matrix: np.ndarray) -> None:
        """Look at the page from elsewhere: a 3x3 matrix from page px to picture px."""
        height, width = self.image.shape[:2]
        border = [int(v) for v in self.image[0, 0]]
        seen = cv2.warpPerspective(self.image, matrix, (width, height), borderValue=border)
        self.image = seen.astype(np.uint8, copy=False)
        self.lines = [(t, cv2.perspectiveTransform(q[None], matrix)[0]) for t, q in self.lines]


class Texts:
    """Verse and prose, each piece at most once."""

    def __init__(self, renderer: Renderer, charset: str, rng: np.random.Generator) -> None:
        allowed = frozenset(c for c in charset if renderer.can_draw(c))
        self._pools = [
            iter(rng.permutation(sorted({t for t in pool if allowed.issuperset(t)})).tolist())
            for pool in (verse_lines(), handbook_lines(rng))
        ]

    def verse(self) -> str:
        """Half a couplet or a whole one."""
        return str(next(self._pools[0]))

    def prose(self) -> str:
        """A piece of a paragraph."""
        return str(next(self._pools[1]))

    def paragraph(self, length: int) -> str:
        """So many characters of prose."""
        text = ""
        while len(text) < length:
            text += self.prose() + "。"
        return text[:length].strip()


def invoice(sheet: Sheet, texts: Texts) -> None:
    """Head, fields, a table in a frame, a total, a signature."""
    rng, height = sheet.rng, int(sheet.rng.integers(20, 25))
    sheet.put("增值税普通发票" if rng.random() < 0.5 else "销售出库单", 300, 30, height + 12)
    sheet.put(f"发票代码:{rng.integers(10**11, 10**12)}", 60, 90, height)
    sheet.put(
        f"开票日期:2026年{rng.integers(1, 13):02}月{rng.integers(1, 29):02}日", 520, 90, height
    )
    sheet.put(f"购买方名称:{texts.verse()[:4]}科技有限公司", 60, 130, height)
    columns, top, row = (60, 320, 420, 530, 650, 840), 180, height + 20
    num_rows = int(rng.integers(4, 7))
    for i in range(num_rows + 1):
        cells = ("货物名称", "单位", "数量", "单价", "金额")
        if i:
            count, price = int(rng.integers(1, 200)), int(rng.integers(100, 50000))
            name = f"{rng.choice(NAMES)}{rng.choice(list('ABCD'))}{rng.integers(1, 60)}"
            total = f"{count * price / 100:.2f}"
            cells = (name, str(rng.choice(UNITS)), str(count), f"{price / 100:.2f}", total)
        for cell, x in zip(cells, columns, strict=False):
            sheet.put(cell, x + 12, top + i * row + 9, height)
    bottom = top + (num_rows + 1) * row
    for y in range(top, bottom + 1, row):
        cv2.line(sheet.image, (columns[0], y), (columns[-1], y), (40, 40, 40), 2)
    for x in columns:
        cv2.line(sheet.image, (x, top), (x, bottom), (40, 40, 40), 2)
    sheet.put(f"价税合计:{rng.integers(10**4, 10**6) / 100:.2f}元", 60, bottom + 20, height)
    sheet.put(f"收款人:{texts.verse()[:3]}", 60, bottom + 65, height)
    sheet.put(f"复核:{texts.verse()[:3]}", 420, bottom + 65, height)


def screenshot(sheet: Sheet, texts: Texts) -> None:
    """Title bar, menu, a list of settings, two buttons; small print, light on dark above."""
    rng, height = sheet.rng, int(sheet.rng.integers(17, 21))
    width = sheet.image.shape[1]
    bar: Colour = [(40, 60, 110), (30, 30, 34), (0, 105, 92)][rng.integers(3)]
    sheet.image[:34] = bar
    sheet.put(texts.prose()[:10], 14, 7, height, (240, 240, 240))
    sheet.image[34:64] = (228, 228, 230)
    x = 14
    for name in rng.permutation(MENU)[:5]:
        x = sheet.put(str(name), x, 40, height) + 30
    for i in range(int(rng.integers(6, 10))):
        y = 86 + i * (height + 16)
        sheet.put(texts.prose()[:14], 30, y, height, (30, 30, 30))
        sheet.put(str(rng.choice(("已启用", "未启用", "自动", f"{rng.integers(1, 999)} MB"))),
            width - 150, y, height, (90, 90, 95))  # fmt: skip
    for x, text, ground in (
        (width - 260, "确定", (25, 105, 210)),
        (width - 130, "取消", (90, 90, 95)),
    ):
        cv2.rectangle(sheet.image, (x, 480), (x + 100, 514), ground, -1)
        sheet.put(text, x + 30, 488, height, (250, 250, 250))


def sign(sheet: Sheet, texts: Texts) -> None:
    """A road sign: few large light lines on a plate before a landscape of one colour."""
    rng = sheet.rng
    plate: Colour = [(0, 70, 160), (0, 110, 60), (150, 20, 25)][rng.integers(3)]
    cv2.rectangle(sheet.image, (60, 50), (640, 430), plate, -1)
    cv2.rectangle(sheet.image, (72, 62), (628, 418), WHITE, 4)
    y = 95
    for name in rng.permutation(SIGNS)[: rng.integers(2, 4)]:
        height = int(rng.integers(54, 76))
        right = sheet.put(str(name), 110, y, height, WHITE)
        if right < 480 and rng.random() < 0.7:
            sheet.put(f"{rng.integers(1, 99)}km", 520, y + height // 4, height // 2, WHITE)
        y += height + 30
    _tilt(sheet, 3.0, 0.03)


def label(sheet: Sheet, texts: Texts) -> None:
    """A product's label: a large name, keys with values, a number, small print below."""
    rng, height = sheet.rng, int(sheet.rng.integers(20, 25))
    sheet.put(texts.verse()[:5].strip(",。") + "茶", 60, 40, int(rng.integers(50, 64)))
    sheet.put(f"No.{rng.integers(10**7, 10**8)}", 470, 60, height)
    for i, key in enumerate(rng.permutation(KEYS)[: rng.integers(4, 7)]):
        sheet.put(f"{key}:{texts.verse()[:6].strip(',。')}", 60, 140 + i * (height + 16), height)
    for i in range(3):
        sheet.put(texts.paragraph(24), 60, 400 + i * 26, 18, (60, 60, 60))
    cv2.rectangle(sheet.image, (36, 22), (664, 488), (60, 60, 60), 3)
    _tilt(sheet, 2.0, 0.0)


def two_columns(sheet: Sheet, texts: Texts) -> None:
    """A title over two columns of running text."""
    height = int(sheet.rng.integers(19, 23))
    sheet.put(texts.prose()[:12], 330, 30, height + 12)
    for x in (50, 470):
        for i in range(int(sheet.rng.integers(7, 11))):
            sheet.put(texts.paragraph(17), x, 100 + i * (height + 12), height)


def vertical(sheet: Sheet, texts: Texts) -> None:
    """Columns of characters, read from the right, under a heading."""
    rng, height = sheet.rng, int(sheet.rng.integers(30, 40))
    sheet.put(texts.prose()[:8], 60, 24, 30)
    for i in range(int(rng.integers(1, 4))):
        verse = texts.verse().translate(str.maketrans("", "", " ,。?!"))[:12]
        sheet.put_down(verse, 480 - i * 2 * height, 90, height)


def _tilt(sheet: Sheet, degrees: float, perspective: float) -> None:
    """Turn by up to so much, and let one side seem farther away."""
    height, width = sheet.image.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(sheet.rng.uniform(-degrees, degrees)), 0.95
    )
    shape = np.vstack([turn, [0, 0, 1]])
    shape[2, 0] = float(sheet.rng.uniform(-perspective, perspective)) / width
    sheet.warp(shape)


KINDS: dict[str, tuple[int, tuple[int, int], Colour, Callable[[Sheet, Texts], None]]] = {
    "invoice": (8, (620, 900), WHITE, invoice),
    "screenshot": (8, (540, 700), (246, 246, 248), screenshot),
    "sign": (6, (480, 700), (150, 170, 185), sign),
    "label": (6, (510, 700), (235, 225, 190), label),
    "columns": (6, (460, 900), WHITE, two_columns),
    "vertical": (6, (640, 620), (244, 238, 222), vertical),
}
"""Pages, (H, W), ground and maker of each kind."""


def finish(sheet: Sheet, kind: str) -> tuple[str, bytes]:
    """Suffix and content: a screenshot as it is, all others as a camera or scanner sees them."""
    if kind == "screenshot":
        return ".png", encode_image(sheet.image)
    seen = degrade.uneven_light(sheet.image.astype(np.float32), 0.25, sheet.rng)
    seen = degrade.add_noise(cv2.GaussianBlur(seen, (0, 0), 0.6), 3.0, sheet.rng)
    pixels = degrade.to_uint8(seen)
    _, content = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return ".jpg", content.tobytes()


def render_pages(out: Path) -> None:
    """Write the pictures and `pages.jsonl`."""
    rng = np.random.default_rng(SEED)
    charset = Vocab.load("vocab/zh_en.txt").charset
    renderer = Renderer(fonts.of_families(fonts.find_faces(), FAMILIES))
    texts = Texts(renderer, charset, rng)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind, (count, size_hw, ground, make) in KINDS.items():
        for number in range(1, count + 1):
            sheet = Sheet(renderer, rng, size_hw, ground)
            make(sheet, texts)
            suffix, content = finish(sheet, kind)
            name = f"{kind}_{number}{suffix}"
            (out / name).write_bytes(content)
            rows.append({"image": name, "lines": labels(sheet.lines)})
    index = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "pages.jsonl").write_text(index, encoding="utf-8", newline="\n")


def labels(lines: Sequence[tuple[str, np.ndarray]]) -> list[dict[str, object]]:
    return [{"text": text, "points": quad.round(1).tolist()} for text, quad in lines]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    render_pages(folder)
    write_hashes(folder)
