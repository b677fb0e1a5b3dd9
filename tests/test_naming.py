"""Names and numbers as a person reads them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.naming import number, percent


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (11634.2, "11,600"), (-0.34155, "−0.342"), (1.5144, "1.51"), (0.00052, "0.000520"), (4e-7, "4.0 × 10⁻⁷"),
     (999.6, "1,000"), (-1234567, "−1,230,000"), (2.5e12, "2.5 × 10¹²"), (99.96, "100"), (9.996, "10.0"),
     (math.nan, "not a number"), (-math.inf, "infinite"), (1, "1.00"), (1e-300, "1.0 × 10⁻³⁰⁰")],
)  # fmt: skip
def test_numbers(value, words):
    assert number(value) == words
    assert number(value, signed=True) == (f"+{words}" if value > 0 else words)


@given(st.floats(min_value=-1e12, max_value=1e12, allow_subnormal=False))
def test_a_number_can_be_read_again(value):
    words = number(value, signed=True).replace("−", "-").replace(",", "")
    digits, _, power = words.partition(" × 10")
    back = float(digits) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    assert back == pytest.approx(value, rel=0.06)
    assert "e" not in words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.951, "95.1 %"), (2e-5, "under 0.1 %"), (0.00049, "under 0.1 %"),
     (0.0005, "0.1 %"), (0.99949, "99.9 %"), (0.9995, "over 99.9 %"), (1 - 1e-9, "over 99.9 %")],
)  # fmt: skip
def test_shares(share, words):
    assert percent(share) == words


@given(st.floats(min_value=0, max_value=1))
def test_nothing_and_all_are_said_of_nothing_and_all_alone(share):
    words = percent(share)
    assert (words == "0.0 %", words == "100.0 %") == (share == 0, share == 1)
    limit, _, _ = words.removeprefix("under ").removeprefix("over ").partition(" ")
    assert float(limit) == pytest.approx(100 * share, abs=0.1 if words[0] in "uo" else 0.0500001)
