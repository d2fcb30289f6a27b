"""A check prefers likely texts that obey it."""

import numpy as np

from crnnkit.model.config import CheckpointInfo
from crnnkit.model.constraints import constraint_of
from crnnkit.serving.recognizer import Recognizer

LINE = np.full((32, 64), 255, np.uint8)


class DoubtfulDate:
    """Reads 13/13/2024 but for the first 3, which is nearly a 2."""

    charset = "0123456789/"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        logits = np.full((1, 19, 12), -9, np.float32)
        logits[:, 1::2, 0] = 9  # a blank between characters
        for step, character in zip(range(0, 19, 2), "13/13/2024", strict=True):
            logits[:, step, 1 + self.charset.index(character)] = 9
        logits[:, 2, 1 + 2] = 8
        return np.repeat(logits, len(images), axis=0)


def test_a_check_prefers_the_likeliest_text_that_obeys():
    network = DoubtfulDate()
    recognizer = Recognizer(network, CheckpointInfo(network.charset), "doubtful.onnx")
    constraints = {name: constraint_of(recognizer.vocab, check=name) for name in ("date", "ean")}
    plain = recognizer.read_line(LINE)
    checked, hopeless = (recognizer.read_line(LINE, c) for c in constraints.values())
    assert (plain.text, plain.passes_check) == ("13/13/2024", None)
    assert (checked.text, checked.passes_check) == ("12/13/2024", True)
    assert checked.confidence < plain.confidence  # it tells what that cost
    assert (hopeless.text, hopeless.passes_check) == ("13/13/2024", False)
    fitting = constraint_of(recognizer.vocab, pattern=r"\d3/\d\d/\d{4}", check="date")
    assert recognizer.read_line(LINE, fitting).text == "13/13/2024"  # the pattern stands above
