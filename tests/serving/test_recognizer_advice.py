"""What advises a reading beside the network: a check that it should obey, and the language."""

import numpy as np

from crnnkit.model.config import CheckpointInfo
from crnnkit.model.constraints import constraint_of
from crnnkit.model.language import learn_language
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


class DoubtfulWord(DoubtfulDate):
    """Reads CAB, of which the B is as likely as a D."""

    charset = "ABCD"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        logits = np.log([[0.01, 0.01, 0.01, 0.96, 0.01], [0.01, 0.96, 0.01, 0.01, 0.01]])
        doubt = np.log([[0.01, 0.01, 0.5, 0.01, 0.47]])
        return np.repeat(np.concatenate([logits, doubt])[np.newaxis], len(images), axis=0)


def test_what_the_network_doubts_the_language_decides():
    network, language = DoubtfulWord(), learn_language(["CAD"] * 5)
    alone, advised = (
        Recognizer(network, CheckpointInfo(network.charset, language=each), "word.onnx")
        for each in (None, language)
    )
    assert alone.read_line(LINE).text == "CAB"
    assert [reading.text for reading in advised.read_lines([LINE, LINE])] == ["CAD", "CAD"]
    assert advised.read_line(LINE).confidence < alone.read_line(LINE).confidence
    only = constraint_of(advised.vocab, chars="ABCD")
    assert advised.read_line(LINE, only).text == "CAD"
    assert advised.read_line(LINE, constraint_of(advised.vocab, pattern="CA[AB]")).text == "CAB"


class LongWords(DoubtfulWord):
    """Reads the same at the beginning of whatever it sees, and nothing after that."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        blanks = np.tile(np.log([0.96, 0.01, 0.01, 0.01, 0.01]), (images.shape[3] // 4 - 3, 1))
        words = super().__call__(images)
        return np.concatenate([words, np.repeat(blanks[np.newaxis], len(images), axis=0)], axis=1)


def test_chunks_of_a_long_line_are_read_without_it():
    """They begin anywhere: a language knows how texts begin."""
    network, language = LongWords(), learn_language(["CAD"] * 5)
    info = CheckpointInfo(network.charset, language=language)
    recognizer = Recognizer(network, info, "words.onnx")
    assert recognizer.read_line(LINE).text == "CAD"
    assert recognizer.read_line(np.full((32, 4000), 255, np.uint8)).text.startswith("CAB")
