"""Uploads that nobody would send on purpose: each is read or refused, and nothing breaks.

By hand, with many more: `python -m tests.serving.test_fuzz checkpoints/base.onnx 5000`.
"""

import gc
import io
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
from PIL import Image

from crnnkit.serving.config import ServerConfig
from crnnkit.serving.server import create_app

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
NAMES = (
    "a.png",
    "",
    "../../etc/passwd",
    "图片.png",
    "a\x00b.png",
    "CON",
    "x" * 5000,
    "a\r\nb",
    "%n%s",
)
OTHERS = (
    b"",
    b"GIF89a",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    b"%PDF-1.7\n",
    b"PK\3\4",
)
STATUSES = {200, 400, 413, 415}
"""What may be answered to pictures of any kind."""


def good_files() -> list[bytes]:
    """A line of text in every format that is read."""
    image = np.full((40, 240, 3), 255, np.uint8)
    cv2.putText(image, "GL-2024-03", (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
    files = []
    for picture_format in FORMATS:
        encoded = io.BytesIO()
        Image.fromarray(image).save(encoded, picture_format)
        files.append(encoded.getvalue())
    return files


def bomb(rng: random.Random) -> bytes:
    """A small PNG that claims many pixels, some of which it has."""
    width, height = rng.choice([(60_000, 60_000), (7100, 7100), (2**31 - 1, 1), (0, 9)])
    data = zlib.compress(b"\0" * rng.choice([0, 10_000_000]))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def uploads(number: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """File names and contents: cut, altered, mixed, foreign, bombs and good ones."""
    rng = random.Random(seed)
    files = good_files()
    for _ in range(number):
        content = bytearray(rng.choice(files))
        kind = rng.randrange(8)
        if kind == 0:
            del content[rng.randrange(len(content)) :]
        elif kind <= 3:  # a few bytes, most of them near the start, where sizes and types stand
            for _ in range(rng.randint(1, 8)):
                content[int(len(content) * rng.random() ** 3)] = rng.randrange(256)
        elif kind == 4:
            content[:16] = rng.choice(files)[:16]
        elif kind == 5:
            content = bytearray(rng.choice(OTHERS) + rng.randbytes(rng.randrange(2000)))
        elif kind == 6:
            content = bytearray(bomb(rng))
        yield rng.choice(NAMES), bytes(content)


def post_all(model_path: Path, number: int, seed: int = 0) -> tuple[Counter[int], list[int]]:
    """How often each status was answered, and the process's memory in MiB ten times."""
    client = create_app(model_path, ServerConfig(max_upload_mb=1)).test_client()
    statuses: Counter[int] = Counter()
    memory = []
    for count, (name, content) in enumerate(uploads(number, seed)):
        answer = client.post("/api/ocr", data={"image": (io.BytesIO(content), name)})
        statuses[answer.status_code] += 1
        assert ("text" in answer.json) == (answer.status_code == 200), (seed, count)
        if count % (number // 10) == 0:
            gc.collect()
            memory.append(psutil.Process().memory_info().rss >> 20)
    return statuses, memory


def test_fuzzed_uploads_are_read_or_refused(onnx_path):
    statuses, _ = post_all(onnx_path, 300)
    assert set(statuses) <= STATUSES
    assert min(statuses[200], statuses[415]) > 50  # neither side is missing


if __name__ == "__main__":
    print(*post_all(Path(sys.argv[1]), int(sys.argv[2])))
