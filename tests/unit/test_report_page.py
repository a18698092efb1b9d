"""The report: right figures, plain text stays text, and the same bytes for the same run."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from similarity.dataset.manifest import ImageRecord, Manifest
from similarity.findings.finding import Finding
from similarity.reporting import sections
from similarity.reporting.charts import Bar, bar_table, color_by_class, line_chart, nice_ticks
from similarity.reporting.collage import Placed, draw_collage, place_images
from similarity.reporting.page import render_page, sheet

ODD = """<script>alert("x")</script> & 'c' $title.jpg"""
METRICS: dict[str, dict] = {
    "retrieval": {
        "test_accuracy": 0.5, "p_at_1": 0.25, "p_at_10": 0.123456,
        "intervals": {name: {"low": 0.1, "high": 0.2} for name in ("test_accuracy", "p_at_1", "p_at_10")},
    },
    "likeness": {
        "same_image_at_1": 0.75, "queries": 8, "class_part": {"same_image_at_1": 0.01},
        "changes": {"half_size": {"same_image_at_1": 0.5, "same_image_at_10": 0.625}},
    },
    "baselines": {
        "color_histogram": {"p_at_10": 0.03, "same_image_at_1": 0.04},
        "pixels": {"p_at_10": 0.05, "same_image_at_1": 0.06},
        "features": {"same_image_at_1": 0.07},
    },
    "ann": {"recall_at_k": 0.99, "k": 10, "search_k": 64},
    "threshold": {"refused": 0.875, "accepted": 0.98, "refused_held_out": 0.31},
    "audit": {"duplicates": 3, "duplicates_across_classes": 2, "wrong_labels": 4, "labels_judged": 100},
}  # fmt: skip


class Tags(HTMLParser):
    """The elements of a page, and whether all of them are closed in their order."""

    EMPTY = frozenset({"meta", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.names.add(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def tile_of(metrics: dict[str, dict], meaning: str) -> sections.Tile:
    return next(tile for tile in sections.headline(metrics) if meaning in tile.meaning)


def manifest_of(*keys: str) -> Manifest:
    return Manifest([ImageRecord(key, key.split("/")[0], "", 9, 9) for key in keys])


def test_the_headline_has_the_figures_and_what_they_are_compared_with() -> None:
    found = tile_of(METRICS, "ten nearest")
    assert found.value == "0.123"
    assert found.beside == "P@10, 95 % interval 0.100–0.200; color histogram 0.030, raw pixels 0.050"
    likeness = tile_of(METRICS, "original first")
    assert likeness.value == "0.750"
    assert likeness.beside.endswith("raw pixels 0.060, bare features 0.070, class part alone 0.010")
    audit = tile_of(METRICS, "findings")
    assert (audit.value, audit.beside) == ("7", "4 of 100 labels are probably wrong")
    assert tile_of(METRICS, "approximate index").value == "0.990"
    assert "0.310 of the images of a class that is not indexed" in tile_of(METRICS, "foreign").beside


def test_without_classes_the_headline_has_what_needs_no_labels() -> None:
    baselines = {name: {"same_image_at_1": 0.5} for name in METRICS["baselines"]}
    unlabeled = METRICS | {
        "retrieval": {},
        "baselines": baselines,
        "likeness": {"same_image_at_1": 0.75},
        "threshold": {"refused": 0.875, "accepted": 0.98},
    }
    assert [tile.value for tile in sections.headline(unlabeled)] == ["0.750", "0.990", "0.875", "7"]


def test_odd_names_stay_text_wherever_they_come() -> None:
    manifest = manifest_of(f"{ODD}/{ODD}", "b/b")
    positions, black = np.array([[0, 1], [1, 0.2]], np.float32), np.zeros((5, 9, 3), np.uint8)
    finding = Finding("wrong_label", ODD, ODD, "0.9", ODD, ODD, ODD, ODD)
    row = {"class": ODD, "p_at_10": "0.5", "p_at_10_low": "0.4", "p_at_10_high": "0.6"}
    parts = [
        sections.audit_section([finding], {"wrong_label": black}),
        sections.classes_section([row], [(ODD, "b")]),
        sections.map_section(manifest, positions, lambda _: black),
        sections.foreign_section([(ODD, 0.5)]),
        sections.figures_section(METRICS, {"data.source": ODD}),
        sections.queries_section([black]),
        sections.likeness_section(METRICS["likeness"]),
        sections.training_section({name: [1.0, 0.5] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}, 2),
    ]
    page = render_page(ODD, ODD, sections.headline(METRICS), parts)
    tags = Tags(page)
    assert not tags.open
    assert "script" not in tags.names
    assert "".join(tags.texts).count(ODD) >= 12


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = render_page("t", "i", [], [sections.queries_section([np.full((5, 9, 3), 200, np.uint8)])])
    assert set(re.findall(r'(?:src|href)="([a-z]*:|#)', page)) == {"data:", "#"}
    assert not re.search(r"https?:|url\((?!#)|@import", page)


def test_pictures_are_in_the_page_as_jpegs() -> None:
    pixels = np.full((6, 4, 3), (200, 10, 10), np.uint8)
    content = re.search(r"base64,([^\"]+)", sheet(pixels, "red", wide=False))
    assert content
    with Image.open(io.BytesIO(base64.b64decode(content[1]))) as image:
        assert (image.format, image.size) == ("JPEG", (4, 6))
        assert np.abs(np.asarray(image).astype(int) - pixels).max() < 8


def test_long_lists_are_cut_and_say_where_the_rest_is() -> None:
    rows = [
        {"class": f"class {number:03}", "p_at_10": f"{number / 100}", "p_at_10_low": "0", "p_at_10_high": "1"}
        for number in range(100)
    ]
    content = sections.classes_section(rows[::-1], []).content
    assert re.findall(r"class \d+", content) == [f"class {number:03}" for number in range(40)]
    assert "40 of 100 are shown; all are in metrics/plots/per_class.csv" in content
    findings = [Finding("unreadable", f"a/{n}", "a", "", "", "", "", "broken") for n in range(2000)]
    content = sections.audit_section(findings, {}).content
    assert "Unreadable files: 2,000" in content
    assert content.count("<td>a/") == 10
    assert "broken" in content
    assert "suggested" not in content  # a column that all leave empty


def test_bars_are_as_long_as_their_shares() -> None:
    content = bar_table(("class", "P@10"), [Bar("a", 0.256, 0.2, 0.3), Bar("b", 0.5, beyond=0.75)])
    assert "width:25.6%" in content
    assert "left:20.0%;width:10.0%" in content
    assert content.index("width:75.0%") < content.index("width:50.0%")  # behind


def test_a_line_goes_through_its_values() -> None:
    chart = line_chart("epoch", "loss", {"a": [0, 1, 0.5], "b": [1, 1, 1]}, marked=2)
    first = re.search(r'stroke-0" d="M([\d. L]+)"', chart)
    assert first
    points = [tuple(map(float, point.split())) for point in first[1].split("L")]
    (x1, low), (x2, high), (x3, middle) = points
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.1)
    assert middle == pytest.approx((low + high) / 2, abs=0.1)
    assert f"M{x2} 12V" in chart


@pytest.mark.parametrize("values", [[0.3], [0.0], [5, 5], [0.99, 1], [-1, 1e9]])
def test_a_chart_of_any_finite_values_has_finite_places(values: list[float]) -> None:
    assert not re.search(r"nan|inf\b", line_chart("x", "y", {"a": values}))
    ticks = nice_ticks(min(values), max(values))
    assert ticks[0] <= min(values) <= max(values) <= ticks[-1]
    assert len(ticks) <= 8


def test_many_classes_share_the_last_color() -> None:
    labels = np.repeat(np.arange(12), [5, 1, 9, 9, 9, 9, 9, 9, 2, 2, 9, 1])
    coloring = color_by_class(labels, [f"c{number}" for number in range(12)])
    assert [name for name, _ in coloring.legend] == ["c2", "c3", "c4", "c5", "c6", "c7", "c10", "others"]
    assert coloring.legend[-1] == ("others", 11)
    assert set(coloring.colors[labels == 2]) == {0}
    assert set(coloring.colors[labels == 0]) == {8}


def test_an_image_without_a_class_has_the_color_of_others() -> None:
    coloring = color_by_class(np.array([0, 1, 2]), ["a", "b"])
    assert coloring.colors.tolist() == [0, 1, 8]
    assert coloring.legend == [("a", 1), ("b", 1), ("others", 1)]


def test_a_collage_shows_in_each_place_the_image_nearest_to_its_middle() -> None:
    positions = np.array([[0.1, 0.9], [0.24, 0.76], [0.25, 0.75], [1, 0], [0.25, 0.75]], np.float32)
    placed = place_images(positions, 2)
    assert placed == [Placed(2, 0, 0), Placed(3, 1, 1)]
    collage = draw_collage(placed, 2, 8, lambda row: np.full((4, 6, 3), 10 * row, np.uint8))
    assert collage.shape == (16, 16, 3)
    assert [collage[y, x, 0] for y, x in ((4, 4), (4, 12), (12, 4), (12, 12))] == [20, 255, 255, 30]
