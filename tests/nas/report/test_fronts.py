"""What a front looks like to people: the page, the picture, and the claim that it makes."""

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from nas.comparison import Comparison, Difference
from nas.errors import NoSuchPoint, NothingMeetsBounds
from nas.front import Front, extent_of
from nas.objectives import Direction, Objective, Source
from nas.objectives.value import Value
from nas.point import Point
from nas.report.describe import (
    axis_of,
    describe_comparison,
    describe_delivered,
    describe_point,
    describe_verdict,
    drawn_over,
    staircase,
)
from nas.report.figure import figure
from nas.report.page import page
from nas.report.picture import picture
from nas.report.strip import Strips
from nas.report.svg import text_width
from searchspaces.architecture import Architecture, Layer
from workers.target import Target

TARGET = Target("local-cpu")


def architecture(*mixers: str, ratio: float = 2.0) -> Architecture:
    return Architecture(256, 64, tuple(Layer(mixer, 4, "mlp", ratio) for mixer in mixers))


def point(
    layers: Architecture,
    validation: float,
    measured: float | None,
    *,
    predicted: float | None = None,
    test: float | None = None,
    preset: str | None = None,
    on_front: bool = False,
) -> Point:
    expected = predicted or measured or 1.0
    latency = Value(expected, 0.1, measured, None if measured is None else 0.05)
    return Point(
        digest=layers.digest,
        architecture=layers,
        validation=validation,
        test=test,
        values={
            ("parameters", None): Value(812_345.0),
            ("macs", None): Value(91_000_000.0),
            ("state_bytes", None): Value(65_536.0),
            ("latency_ms", str(TARGET)): latency,
        },
        preset=preset,
        on_front=on_front,
    )


def front_of(points: Sequence[Point], direction: Direction = Direction.MIN) -> Front:
    objectives = (
        Objective("quality", "bits_per_byte", direction, Source.EVALUATED),
        Objective("latency_ms", "ms", Direction.MIN, Source.PREDICTED, 8.0, TARGET),
    )
    return Front(
        job="demo-3f9a1c",
        space="hybrid-lm",
        task="text",
        metric="bits_per_byte",
        direction=direction,
        targets=(TARGET,),
        objectives=objectives,
        points=tuple(points),
        evaluated=len(points),
        extent=extent_of(points, objectives),
    )


@pytest.fixture
def front() -> Front:
    return front_of(
        [
            point(architecture("linear", "none"), 2.9, 2.0, predicted=2.1, test=2.95, on_front=True),
            point(architecture("window:32", "window:64"), 2.4, 4.0, predicted=3.8, test=2.45, on_front=True),
            point(architecture("softmax", "softmax"), 2.5, 9.0, test=2.55, preset="softmax-L2"),
            point(architecture("softmax", "linear"), 2.8, None, predicted=6.0),
        ]
    )


class _Texts(HTMLParser):
    """Texts of a document by the element that holds them; fails where elements are not closed in order."""

    VOID = frozenset({"meta", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data))


def test_the_page_is_one_well_formed_file_that_shows_every_model_worth_a_row(front):
    document = page(front)
    parsed = _Texts()
    parsed.feed(document)
    assert parsed.open == []
    codes = [text for tag, text in parsed.texts if tag == "code"]
    assert codes == [p.digest[:8] for p in (front.points[0], front.points[1], front.points[2])]
    assert not re.search(r'<(script|link)[^>]+(src|href)="', document)


def test_a_page_over_what_is_nothing_of_some_models_has_a_linear_axis(front):
    """The state of a model without mixers is 0 bytes, the least there is."""
    state = Objective("state_bytes", "bytes", Direction.MIN, Source.COUNTED)
    points = tuple(
        replace(p, values={**p.values, ("state_bytes", None): Value(0.0 if number == 0 else 65_536.0)})
        for number, p in enumerate(front.points)
    )
    over_state = replace(front, points=points, objectives=(front.objectives[0], state), extent=(None, None))
    assert '"type":"linear"' in page(over_state)
    assert '"type":"log"' in page(front)
    ElementTree.fromstring(picture(over_state, TARGET))


def test_the_page_escapes_names(front):
    named = replace(front, job="<script>alert(1)</script>")
    assert "<script>alert(1)" not in page(named)


def test_hovering_tells_the_layers(front):
    assert "window:32, 4 heads, mlp ×2" in page(front)


def test_the_picture_is_a_small_svg_with_every_point(front):
    document = picture(front, TARGET)
    root = ElementTree.fromstring(document)
    name = "{http://www.w3.org/2000/svg}"
    stars = [path for path in root.iter(f"{name}path") if path.get("transform")]
    assert len(list(root.iter(f"{name}circle"))) + len(stars) == len(front.points)
    texts = [element.text for element in root.iter(f"{name}text")]
    assert "asked ≤ 8 ms" in texts
    assert "softmax-L2" in texts
    assert len(document.encode()) < 200_000


def test_better_stands_higher_or_lower_as_the_metric_says(front):
    assert "lower is better" in picture(front, TARGET)
    assert "higher is better" in picture(replace(front, direction=Direction.MAX), TARGET)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_fronts_of_any_length_can_be_drawn(count):
    points = [
        point(architecture("linear", ratio=1.0 + i), 3.0 - i / 100, 1.0 + i, test=3.0, on_front=True)
        for i in range(count)
    ]
    ElementTree.fromstring(picture(front_of(points), TARGET))
    page(front_of(points))


def texts_of(document: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(document).iter("{http://www.w3.org/2000/svg}text"))


def test_the_line_of_a_front_passes_members_that_only_shine_elsewhere(front):
    """Of three objectives: the second member is slower and worse than the first, but smaller."""
    first, other = front.points[1], front.points[3]
    worse = replace(other, on_front=True)
    two = replace(front, points=(first, worse))
    dots = axis_of(two, drawn_over(two, TARGET)[0]).dots
    assert [dot.point for dot in staircase(dots, Direction.MIN)] == [first]
    assert [dot.point for dot in staircase(dots, Direction.MAX)] == [first, worse]


@pytest.mark.parametrize("depth", [1, 9, 40])
def test_strips_and_names_end_before_the_latency(front, depth):
    deep = replace(
        front.points[2],
        architecture=architecture(*["softmax"] * depth),
        on_front=True,
        preset="masformer-L40",
    )
    document = picture(front_of([*front.points[:2], deep]), TARGET)
    (latency,) = (one for one in texts_of(document) if one.text == "9.00")
    begins = float(latency.get("x")) - text_width("9.00", 13)
    rectangles = ElementTree.fromstring(document).iter("{http://www.w3.org/2000/svg}rect")
    cells = [one for one in rectangles if float(one.get("x")) > 680]
    assert max(float(one.get("x")) + float(one.get("width")) for one in cells) <= begins
    names = [one for one in texts_of(document) if (one.text or "").startswith("★ masf")]
    assert all(float(one.get("x")) + text_width(one.text, 10) <= begins for one in names)


def test_long_names_are_shortened(front):
    target = Target("kitchen-laptop" * 12)
    known = tuple(
        replace(p, values={("latency_ms", str(target)): p.values["latency_ms", str(TARGET)]})
        for p in front.points
    )
    named = replace(front, targets=(target,), points=known, space="a-space" * 30)
    title, subtitle = texts_of(picture(named, target))[:2]
    assert title.text.startswith("a-space")
    assert title.text.endswith("…")
    assert 20 + text_width(subtitle.text, 12) < 690
    assert str(target) in page(named)


def test_one_architecture_is_not_many(front):
    assert "1 architecture · " in picture(front_of(front.points[:1]), TARGET)


def test_a_front_of_nobody_says_so(front):
    assert "nothing is on the front" in picture(front_of(front.points[2:]), TARGET)


def test_bounds_that_nothing_meets_are_not_told_as_a_job_that_found_nothing(front):
    for draw in (page, lambda front: picture(front, TARGET)):
        with pytest.raises(NothingMeetsBounds, match="none of the 4 architectures"):
            draw(replace(front, points=()))


def test_the_page_tells_screen_readers_the_layers(front):
    assert 'role="img" aria-label="window:32, 4 heads, mlp ×2; window:64, 4 heads, mlp ×2"' in page(front)


def test_what_was_measured_is_counted_by_architectures(front):
    assert "<b>3</b><span>measured on the device" in page(front)
    phone = Target("phone")
    two = tuple(
        replace(
            p, values={**p.values, ("latency_ms", str(phone)): Value(1.0, 0.1, 1.0 if p.on_front else None)}
        )
        for p in front.points
    )
    assert "<b>2</b><span>measured on all 2 targets" in page(
        replace(front, targets=(TARGET, phone), points=two)
    )


def test_a_front_without_points_cannot_be_drawn():
    for draw in (page, lambda front: picture(front, TARGET)):
        with pytest.raises(NoSuchPoint, match="nas show demo-3f9a1c"):
            draw(front_of([]))


def compared(mean: float, error: float, steps: int = 1200) -> Comparison:
    difference = Difference(mean, error, 92)
    return Comparison(TARGET, "a" * 16, "b" * 16, "softmax-L2", 4.0, 10.0, 2.0 + mean, 2.0, difference, steps)


@pytest.mark.parametrize(
    ("mean", "direction", "sign", "verdict"),
    [
        (-0.03, Direction.MIN, "✔", "and better: 1.970 against 2.000 bits per byte (-0.030 ± 0.010)"),
        (0.03, Direction.MAX, "✔", "and better: 2.030 against 2.000 bits per byte (+0.030 ± 0.010)"),
        (-0.019, Direction.MIN, "=", "and equal within the noise (-0.019 ± 0.010 bits per byte)"),
        (0.03, Direction.MIN, "✘", "but worse: 2.030 against 2.000 bits per byte (+0.030 ± 0.010)"),
    ],
)
def test_a_claim_is_made_only_beyond_two_standard_errors(mean, direction, sign, verdict):
    described = describe_comparison(compared(mean, 0.01), "bits_per_byte", direction)
    faster = "found aaaaaaaa: 2.5 times faster than softmax-L2 (4.00 against 10.00 ms)"
    assert described == f"{sign} {faster} {verdict}"


def test_a_found_model_wins_where_it_wins_on_every_target():
    won, other = compared(-0.03, 0.01), replace(compared(-0.03, 0.01), found="c" * 16)
    even = replace(other, target=Target("phone"), difference=Difference(-0.01, 0.01, 92))
    assert describe_verdict([won, other], Direction.MIN).startswith("2 of 2 found models: better than every")
    assert describe_verdict([won, other, even], Direction.MIN).startswith("1 of 2 found models")
    assert describe_verdict([won, other], Direction.MAX).startswith("none of 2 found models")


def test_a_point_in_words(front):
    described = dict(describe_point(front.points[2], front.metric, TARGET))
    assert described["preset"] == "★ softmax-L2"
    assert described["measured"] == "9.00±0.05 ms"
    assert described["validation"] == "2.500 bits per byte"
    unmeasured = dict(describe_point(front.points[3], front.metric, TARGET))
    assert unmeasured["measured"] == "– ms"
    assert unmeasured["test"] == "– bits per byte"


def test_what_is_delivered_has_a_column_and_is_what_is_drawn(front):
    known = {0: Value(2.6, 0.1, 2.5, 0.01), 1: Value(2.2, 0.05), 2: Value(2.4, 0.1, 2.3)}
    points = [
        replace(p, values={**p.values, ("quality", None): known[n]}) if n in known else p
        for n, p in enumerate(front.points)
    ]
    told = replace(front, points=tuple(points))
    assert [describe_delivered(p) for p in points] == ["2.500±0.010", "~2.200±0.050", "2.300", "–"]
    assert ("delivered", "~2.200±0.050 bits per byte") in describe_point(points[1], front.metric, TARGET)
    document = page(told)
    assert "bits per byte, delivered" in document
    assert "circle-open" in document
    assert "alone, predicted where hollow" in document
    assert "trained alone, against what was known before" in document
    assert "delivered" not in page(front)
    drawn = {dot.point.digest: dot.quality for dot in axis_of(told, drawn_over(told, TARGET)[0]).dots}
    assert drawn[points[0].digest] == 2.5


def test_error_bars_have_one_colour_which_is_their_marks(front) -> None:
    """Plotly takes no list there: it would draw black and complain."""
    pytest.importorskip("plotly")
    target = front.targets[0]
    objective = next(o for o in front.objectives if o.target == target)
    drawn = figure(front, objective, target, Strips(p.architecture for p in front.points))
    bars = [
        (bar, trace.marker.color)
        for trace in drawn.data
        for bar in (trace.error_x, trace.error_y)
        if bar.array is not None and len(bar.array)
    ]
    assert bars
    for bar, marks in bars:
        assert isinstance(bar.color, str)
        assert bar.color == marks


def test_the_page_has_a_dark_form_and_even_cards(front) -> None:
    pytest.importorskip("plotly")
    written = page(front)
    assert "prefers-color-scheme: dark" in written
    assert "grid-template-columns: repeat(auto-fit" in written
