import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.report.labels import place_labels
from nas.report.numbers import readable_bytes, readable_count, written
from nas.report.scales import amount_scale, amount_ticks, ends, linear_scale, linear_ticks, padded
from nas.report.svg import shortened, text_width

VALUES = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=20)
PIXELS = st.floats(0, 600)


@given(VALUES)
def test_axes_hold_every_value_and_keep_their_order(values):
    for scale in (linear_scale, amount_scale):
        place = scale(values, 0.0, 600.0)
        assert all(0.0 < place(value) < 600.0 for value in values)
        places = [place(value) for value in sorted(values)]
        assert places == sorted(places)


@given(VALUES)
def test_ticks_lie_on_the_axis_and_tell_its_scale(values):
    low, high = padded(values)
    assert low < min(values) <= max(values) < high
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in linear_ticks(values))
    assert 3 <= len(linear_ticks(values)) <= 10
    low, high = padded([math.log10(value) for value in values])
    assert all(low - 1e-9 <= math.log10(tick) <= high + 1e-9 for tick in amount_ticks(values))
    assert len(amount_ticks(values)) >= 3


@given(VALUES)
def test_an_axis_with_a_zero_is_linear(values):
    place = amount_scale([0.0, *values], 0.0, 600.0)
    assert all(0.0 < place(value) < 600.0 for value in (0.0, *values))
    low, high = padded([0.0, *values])
    assert all(0 <= tick <= high for tick in amount_ticks([0.0, *values]))
    assert len(amount_ticks([0.0, *values])) >= 2
    assert ends([0.0, *values]) == (low, high)
    assert amount_scale(values, 0.0, 600.0)(0.0) == -math.inf


def test_ticks_are_round_numbers():
    assert linear_ticks([1.93, 3.14]) == pytest.approx([2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.2])
    assert amount_ticks([3.5, 32.0]) == [4, 5, 6, 8, 10, 15, 20, 30]
    assert amount_ticks([0.08, 1.2])[0] == pytest.approx(0.08)
    assert amount_ticks([5.3, 5.3]) == pytest.approx([4.5, 5.0, 5.5, 6.0, 6.5])


@given(st.lists(st.tuples(PIXELS, PIXELS, st.text("abc-L4", min_size=1, max_size=14)), max_size=12))
def test_names_cover_neither_each_other_nor_a_mark(marks):
    boxes = [label.box for label in place_labels(marks, [], (0, 0, 600, 600)) if label]
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 < left < right < 600
        assert 0 < top < bottom < 600
        assert not any(left < x < right and top < y < bottom for x, y, _ in marks)
        for other in boxes[number + 1 :]:
            assert not (left < other[2] and other[0] < right and top < other[3] and other[1] < bottom)


def test_a_name_with_room_around_it_is_placed():
    assert place_labels([(300, 300, "softmax-L4")], [], (0, 0, 600, 600))[0].side == "middle right"


@given(st.text(max_size=60), st.floats(0, 400))
def test_a_shortened_text_fits_and_is_a_beginning(content, width):
    short = shortened(content, 12, width)
    assert text_width(short, 12) <= width
    assert short == content or (content.startswith(short[:-1]) and short[-1:] in ("", "…"))
    assert short == content or text_width(content, 12) > width


def test_wide_characters_are_counted_as_wide():
    assert text_width("実験", 10) == 20 > text_width("ab", 10)


@given(st.floats(0, 1e15))
def test_sizes_and_counts_are_short_and_right(size):
    number, unit = readable_bytes(size).split()
    scale = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
    last_digit = 0.1 if "." in number else 1
    assert abs(float(number) * scale - size) <= 0.501 * last_digit * scale
    number, _, suffix = readable_count(size).partition(" ")
    assert "e" not in number or suffix == "G"
    assert math.isclose(
        float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[suffix], size, rel_tol=0.01, abs_tol=1
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999"), (999_499, "999 k"), (999_700, "1 M"), (999_999_999, "1 G"), (1_340_000, "1.34 M")],
)
def test_what_rounds_up_to_the_next_suffix_has_it(count, text):
    assert readable_count(count) == text


def test_what_rounds_up_to_a_thousand_is_written_as_one():
    assert written(999.7, "") == "1 k"
    assert written(12.34, "") == "12.3"
