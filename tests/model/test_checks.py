"""What texts must obey beyond their form."""

import importlib

import pytest

from crnnkit.errors import ConfigError
from crnnkit.model.checks import _number_formats, check_named


@pytest.mark.parametrize(
    ("name", "text", "obeys"),
    [
        ("date", "2024-02-29", True),
        ("date", "2023-02-29", False),
        ("date", "DATE: 31/12/2018 10:58", True),
        ("date", "12/31/2018", True),  # the month first
        ("date", "13/13/2018", False),
        ("date", "2024年3月1日", True),
        ("date", "２０２４－０２－３０", False),  # full-width
        ("date", "2024-01-31 2024-02-31", False),  # one right, one wrong
        ("date", "2024-1201-02", False),  # no date
        ("date", "", False),
        ("sum", "2×3.50+1=8.00", True),
        ("sum", "2X3.50 + 1 = 8.10", False),
        ("sum", "合计 10-2*3=4", True),
        ("sum", "3*0.335=1.01", True),  # rounded to what it says
        ("sum", "3*0.335=1.00", False),
        ("sum", "1+1=2 1+1=3", False),
        ("sum", "1+1-2", False),  # no equation
        ("sum", "1+1=" + "9" * 12, False),
        ("luhn", "卡号 6222550000000004", False),
        ("luhn", "0", False),  # too short to mean anything
        ("ean", "条码 6901234567892", True),
        ("ean", "6901234567893", False),
        ("cn.ric", "身份证：11010519491231002X", True),
        ("cn.ric", "ID 11010519491231002X", True),
        ("cn.ric", "110105194912310021", False),
    ],
)
def test_a_text_obeys_or_not(name, text, obeys):
    assert check_named(name)(text) is obeys


def test_a_right_card_number_is_found_in_groups():
    number = "6222551663717891"
    groups = f"Card no {number[:4]} {number[4:8]} {number[8:12]} {number[12:]}"
    assert check_named("luhn")(groups)
    assert not check_named("luhn")(groups[:-1] + "2")


@pytest.mark.parametrize("name", ["cn.rid", "Date", "os", "..os", "numdb", "", "x" * 5000])
def test_an_unknown_name_is_refused_with_the_nearest(name):
    with pytest.raises(ConfigError, match="there is none of that name") as refusal:
        check_named(name)
    assert len(str(refusal.value)) < 300
    if name == "cn.rid":
        assert "cn.ric" in str(refusal.value)


def test_every_format_of_the_library_says_yes_or_no_to_any_text():
    formats = _number_formats()
    assert len(formats) > 200
    assert all(callable(importlib.import_module(f"stdnum.{name}").is_valid) for name in formats)
    for name in sorted(formats):
        assert check_named(name)("第 7 号 ABCDEF-000000 ²³½٣") in (True, False)
