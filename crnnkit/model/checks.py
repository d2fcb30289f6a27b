"""What the text of a line must obey beyond its form: the calendar, arithmetic, check digits."""

import importlib
import pkgutil
import re
import unicodedata
from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from difflib import get_close_matches
from functools import cache, reduce
from itertools import dropwhile

import stdnum

from crnnkit.errors import ConfigError

Check = Callable[[str], bool]
"""Whether a text obeys."""

_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})([-/.年])(\d{1,2})[-/.月](\d{1,2})(?!\d)")
_YEAR_LAST = re.compile(r"(?<![\d/.-])(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)")
_NUMBER = r"\d{1,12}(?:\.\d{1,6})?"
_EQUATION = re.compile(rf"({_NUMBER}(?:\s*[-+*]\s*{_NUMBER}){{1,20}})\s*=\s*({_NUMBER})")
_TIMES = str.maketrans("×xX", "***")
_CODE = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z]|[ .-](?=[0-9A-Za-z]))*")
_MIN_CODE = 6
"""Characters: every tenth single digit passes for a bank card."""
_MAX_CODES = 20


def check_named(name: str) -> Check:
    """A check by its name.

    `date`: the text holds a date such as 2024-03-01, 2024年3月1日 or 01/03/2024 (day and month in
    either order), and all its dates are in the calendar. `sum`: it holds an equation such as
    2×3.50+1=8.00, and all are right when rounded to what they say. Any other name is a module of
    python-stdnum, such as `luhn` (bank cards), `ean` (bar codes), `iban`, `cn.ric` (citizens'
    numbers) or `cn.uscc` (companies): the text holds a number of that kind, its check digit right.

    Raises:
        ConfigError: if there is no check of that name.
    """
    if name in _OWN:
        return _OWN[name]
    known = _number_formats()
    if name not in known:
        near = get_close_matches(name, [*_OWN, *known], n=3, cutoff=0.4)
        raise ConfigError(
            f"check {name[:60]!r}: there is none of that name. "
            f"Nearest: {', '.join(near) or 'date, sum, luhn, ean'}."
        )
    is_valid: Check = importlib.import_module(f"stdnum.{name}").is_valid
    return lambda text: any(is_valid(code) for code in _codes(text))


@cache
def _number_formats() -> frozenset[str]:
    """Dotted names of python-stdnum's modules; none is imported before it is asked for."""
    found = pkgutil.walk_packages(stdnum.__path__, "stdnum.", onerror=lambda _: None)
    names = {module.name.removeprefix("stdnum.") for module in found if not module.ispkg}
    return frozenset(names - {"exceptions", "numdb", "util"})


def _codes(text: str) -> list[str]:
    """What may be a number, without its gaps: a run, its words, or the run behind its label, as in
    `ID 6222 0200 …`."""
    found = []
    for run in _CODE.findall(unicodedata.normalize("NFKC", text)):
        words = run.split(" ")
        behind_label = dropwhile(str.isalpha, words)
        found += [run, "".join(behind_label), *words]
    codes = dict.fromkeys(re.sub("[ .-]", "", code) for code in found)
    return [code for code in codes if len(code) >= _MIN_CODE][:_MAX_CODES]


def _dates_exist(text: str) -> bool:
    text = unicodedata.normalize("NFKC", text)
    year_first = [(y, m, d) for y, _, m, d in _YEAR_FIRST.findall(text)]
    year_last = [(y, m, d) for d, _, m, y in _YEAR_LAST.findall(text)]
    found = [_is_date(*parts) for parts in year_first]
    found += [_is_date(y, m, d) or _is_date(y, d, m) for y, m, d in year_last]
    return bool(found) and all(found)


def _is_date(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _equations_hold(text: str) -> bool:
    text = unicodedata.normalize("NFKC", text).translate(_TIMES)
    found = [_equals(*sides) for sides in _EQUATION.findall(text)]
    return bool(found) and all(found)


def _equals(terms: str, result: str) -> bool:
    """Products before sums, from left to right."""
    tokens = re.findall(rf"{_NUMBER}|[-+*]", terms)
    try:
        total = sum(
            (-1 if sign == "-" else 1) * reduce(lambda a, b: a * b, map(Decimal, factors))
            for sign, factors in _products(tokens)
        )
        said = Decimal(result)
        return Decimal(total).quantize(said, ROUND_HALF_UP) == said
    except DecimalException:
        return False


def _products(tokens: list[str]) -> list[tuple[str, list[str]]]:
    """Numbers and signs → each sum's sign and factors."""
    products = [("+", [tokens[0]])]
    for sign, number in zip(tokens[1::2], tokens[2::2], strict=True):
        if sign == "*":
            products[-1][1].append(number)
        else:
            products.append((sign, [number]))
    return products


_OWN: dict[str, Check] = {"date": _dates_exist, "sum": _equations_hold}
