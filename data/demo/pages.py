"""Three small pages whose lines are known: a name plate, a medical bill, an inspection's screen."""

from dataclasses import dataclass

import cv2
import numpy as np
import wear
from numpy.random import Generator
from typeset import EM, HAN_FACES, LATIN_FACES, Face, set_type
from wear import Array

KAI, SONG, _, HEI, *_ = HAN_FACES
B612, B612_MONO = LATIN_FACES[0], LATIN_FACES[3]
MARGIN = 60  # px from the page's edge to its text


@dataclass(frozen=True)
class Page:
    """A page of lines, one below the other, all starting at the left margin."""

    name: str
    width: int  # px
    em: int  # px
    pitch: int  # px from line to line
    latin_face: Face
    han_face: Face
    ink: tuple[int, int, int]
    lines: tuple[str, ...]


NAME_PLATE = Page(
    "name_plate.jpg",
    660,
    34,
    68,
    B612,
    SONG,
    (28, 30, 38),
    (
        "青岛泵业机械设备有限公司",
        "设备编号：GL-2024-03-001-A",
        "型号：YE3-132M-4",
        "出厂编号：KX2024-117",
        "额定功率 7.5kW 额定电压 380V",
        "流量 50m³/h 转速 1450r/min",
        "工作压力 1.6MPa 重量 180kg",
        "生产日期 20240315",
        "检验员：王建国 合格",
    ),
)
MEDICAL_BILL = Page(
    "medical_bill.jpg",
    620,
    32,
    64,
    B612_MONO,
    KAI,
    (35, 40, 90),
    (
        "北京市朝阳区建国路88号",
        "日期：2024年03月15日",
        "参苓白术散 9g×6袋",
        "单价 28.50 数量 2",
        "六味地黄丸 9g×10丸",
        "维生素C片（0.1g×24片）",
        "黄芪15g 当归10g 甘草6g",
        "藿香正气口服液 10ml×8支",
        "合计：¥1,280.50",
        "大写：壹仟贰佰捌拾元伍角整",
        "收款人：李明华 03月15日",
    ),
)
SCREEN = Page(
    "screen.png",
    560,
    28,
    62,
    B612,
    HEI,
    (32, 36, 48),
    (
        "巡检：张新民 03-15",
        "1号变压器 温度 58℃",
        "2号水泵 电流 12.6A",
        "QF-10kV-12",
        "=A1+S2-K15:13",
        "配电箱责任人：陈海平",
        "有效期至 2026年08月",
        "地址：中山路36号B座",
        "应付金额：¥3,460.00",
    ),
)


def quad(x: float, y: float, width: float, height: float) -> Array:
    """The corners of an upright box, clockwise from top left."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def set_page(page: Page) -> tuple[Array, list[Array]]:
    """The page as ink (H, W) in 0..1 and one quad (4, 2) in px for each line."""
    height = 2 * MARGIN + page.pitch * len(page.lines)
    ink, quads = np.zeros((height, page.width), np.float32), []
    for row, text in enumerate(page.lines):
        line = set_type([(text, page.han_face)], page.latin_face, bold=1, spacing=2)
        scale = page.em / EM
        line = cv2.resize(line, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = line.shape
        y = MARGIN + row * page.pitch + (page.pitch - h) // 2
        ink[y : y + h, MARGIN : MARGIN + w] = line
        quads.append(quad(MARGIN - 3, y - 3, w + 6, h + 6))
    return ink, quads


def rotate(photo: Array, quads: list[Array], degrees: float) -> tuple[Array, list[Array]]:
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return turned, [corners @ matrix[:, :2].T + matrix[:, 2] for corners in quads]


def name_plate(rng: Generator) -> tuple[Array, list[Array]]:
    """A photo of a printed metal plate, scratched, a little askew."""
    ink, quads = set_page(NAME_PLATE)
    scratches = wear.scratch_mask(ink.shape, 2, rng)
    ink = wear.abrade(ink, 0.06, rng)[..., None]
    sheet = wear.metal(ink.shape[:2], rng)
    sheet = 0.4 * sheet + 0.6 * sheet.mean((0, 1))  # seen from further away than a line is
    photo = sheet * (1 - ink) + np.array(NAME_PLATE.ink) * ink
    photo = photo + 25 * scratches[..., None]
    photo, quads = rotate(photo, quads, 1.2)
    return wear.noise(cv2.GaussianBlur(photo, (0, 0), 0.8), 4, rng), quads


def medical_bill(rng: Generator) -> tuple[Array, list[Array]]:
    """A photo of a bill from a tired printer, partly in shadow."""
    ink, quads = set_page(MEDICAL_BILL)
    ink = wear.abrade(ink, 0.08, rng)[..., None]
    photo = wear.paper(ink.shape[:2], rng) * (1 - ink) + np.array(MEDICAL_BILL.ink) * ink
    photo = wear.shadow(photo, 0.3, rng)
    return wear.noise(cv2.GaussianBlur(photo, (0, 0), 0.6), 3, rng), quads


def screen(rng: Generator) -> tuple[Array, list[Array]]:
    """A screenshot of a list: sharp, even, with a thin rule between the rows."""
    ink, quads = set_page(SCREEN)
    photo = np.full((*ink.shape, 3), (246, 248, 250), np.float64)
    rules = MARGIN + SCREEN.pitch * np.arange(len(SCREEN.lines) + 1)
    photo[rules, MARGIN // 2 : -MARGIN // 2] = (218, 222, 228)
    return photo * (1 - ink[..., None]) + np.array(SCREEN.ink) * ink[..., None], quads


PAGES = ((NAME_PLATE, name_plate), (MEDICAL_BILL, medical_bill), (SCREEN, screen))
