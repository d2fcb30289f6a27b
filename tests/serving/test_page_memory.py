"""What a large page costs, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from crnnkit.preprocessing.images import write_image

READ = """
import re, sys
from pathlib import Path
import cv2, numpy as np
from crnnkit.serving.recognizer import Recognizer

def memory(name):  # ru_maxrss begins with what the parent process had
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

cv2.setNumThreads(1)
recognizer = Recognizer.load(sys.argv[1], 1)
recognizer.read_page(np.full((300, 400), 255, np.uint8))
before = memory("VmRSS")
assert len(recognizer.read_page(sys.argv[2])) > 5
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not run: no /proc")
def test_a_large_page_out_of_focus_takes_four_times_its_size_at_most(onnx_path, tmp_path):
    page = np.full((4200, 5000), 255, np.uint8)
    for row in range(8):
        place = (200, 500 + 450 * row)
        cv2.putText(page, "12 GL-2024-03 A1 B2 0123", place, cv2.FONT_HERSHEY_SIMPLEX, 6, 0, 14)
    path = tmp_path / "page.png"
    write_image(path, cv2.GaussianBlur(page, (0, 0), 2.5))
    command = [sys.executable, "-c", READ, str(onnx_path), str(path)]
    above = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert above <= 4 * page.nbytes + 100e6
