"""What a check brings: `python -m benchmarks.checks MODEL INDEX --check date [--matching REGEX]`.

Reads the lines of an index file whose label obeys the check (and matches --matching), once plainly
and once with the check, in one thread; counts what it made right, made wrong, and could not help.
Times are CPU time.

`--write-texts FILE` writes 300 texts that obey the check in place of that, for `crnnkit synth
--lexicon FILE`: dates, sums, citizens' numbers (cn.ric) or bank cards (luhn), seeded.
"""

import argparse
import random
import re
import time
from datetime import date, timedelta
from pathlib import Path

from stdnum import luhn
from stdnum.cn import ric

from crnnkit.dataset.index import read_index
from crnnkit.metrics import score
from crnnkit.model.checks import check_named
from crnnkit.model.constraints import constraint_of
from crnnkit.serving.readings import LineReading
from crnnkit.serving.recognizer import Recognizer

NUM_TEXTS = 300


def _date(rng: random.Random) -> str:
    day = date(1950, 1, 1) + timedelta(days=rng.randrange(27_000))
    return day.strftime(rng.choice(["%Y-%m-%d", "%d/%m/%Y", "%Y年%m月%d日"]))


def _sum(rng: random.Random) -> str:
    number, cents, more = rng.randrange(1, 99), rng.randrange(50, 99_999), rng.randrange(50, 9_999)
    total = number * cents + more
    return f"{number}×{cents / 100:.2f}+{more / 100:.2f}={total / 100:.2f}"


def _citizen(rng: random.Random) -> str:
    born = (date(1950, 1, 1) + timedelta(days=rng.randrange(25_000))).strftime("%Y%m%d")
    body = f"110105{born}{rng.randrange(1000):03}"
    return body + ric.calc_check_digit(body + "0")


def _card(rng: random.Random) -> str:
    body = f"6222{rng.randrange(10**11):011}"
    return body + luhn.calc_check_digit(body)


TEXTS = {"date": _date, "sum": _sum, "cn.ric": _citizen, "luhn": _card}


def read(
    recognizer: Recognizer, images: list[Path], check: str | None
) -> tuple[list[LineReading], float]:
    """Readings, and CPU milliseconds a line."""
    constraint = constraint_of(recognizer.vocab, check=check)
    recognizer.read_line(images[0], constraint)
    began = time.process_time()
    readings = [recognizer.read_line(image, constraint) for image in images]
    return readings, 1000 * (time.process_time() - began) / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--check", required=True)
    parser.add_argument("--matching", default="", help="regular expression found in the label")
    parser.add_argument("--write-texts", type=Path)
    arguments = parser.parse_args()
    if arguments.write_texts:
        rng = random.Random(0)
        texts = [TEXTS[arguments.check](rng) for _ in range(NUM_TEXTS)]
        arguments.write_texts.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return
    obeys = check_named(arguments.check)
    lines = [
        line
        for line in read_index(arguments.index)
        if re.search(arguments.matching, line.text) and obeys(line.text)
    ]
    recognizer = Recognizer.load(arguments.model, num_threads=1)
    images, labels = [line.image for line in lines], [line.text for line in lines]
    (plain, plain_ms), (checked, ms) = (
        read(recognizer, images, check) for check in (None, arguments.check)
    )
    right = [(a.text == t, b.text == t) for a, b, t in zip(plain, checked, labels, strict=True)]
    broken = sum(not obeys(reading.text) for reading in plain)
    plain_score, checked_score = (score(labels, [r.text for r in rs]) for rs in (plain, checked))
    print(
        f"| {arguments.check} | {len(lines)} | {100 * plain_score.exact_match:.1f} → "
        f"{100 * checked_score.exact_match:.1f} | {100 * plain_score.cer:.2f} → "
        f"{100 * checked_score.cer:.2f} | {broken} of {sum(not a for a, _ in right)} | "
        f"{sum(b and not a for a, b in right)} | {sum(a and not b for a, b in right)} | "
        f"{sum(reading.passes_check is False for reading in checked)} | {ms / plain_ms:.2f} |"
    )


if __name__ == "__main__":
    main()
