"""The report: right figures, plain text stays text, and the same bytes for the same run."""

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from similarity.findings.finding import Finding
from similarity.reporting import charts
from similarity.reporting import page as sections
from similarity.reporting.page import Section, picture, render_page

ODD = """<script>alert("x")</script> & 'c' $title.jpg"""
BLACK = np.zeros((5, 9, 3), np.uint8)
HISTORY = {name: [1.0, 0.5] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
SCORES = ("test_accuracy", "p_at_1", "p_at_10", "map_at_r")
METRICS: dict[str, dict] = {
    "evaluate": {
        "test_accuracy": 0.5, "p_at_1": 0.25, "p_at_10": 0.123456, "map_at_r": 0.375,
        "intervals": {name: {"low": 0.1, "high": 0.2} for name in SCORES},
        "likeness": {
            "same_image_at_1": 0.75, "queries": 8, "class_part": {"same_image_at_1": 0.01},
            "edits": {"half_size": {"same_image_at_1": 0.5, "same_image_at_10": 0.625}},
        },
    },
    "baselines": {
        "color_histogram": {"p_at_10": 0.03, "same_image_at_1": 0.04},
        "pixels": {"p_at_10": 0.05, "same_image_at_1": 0.06},
        "features": {"same_image_at_1": 0.07},
    },
    "ann": {"recall_at_k": 0.99, "k": 10, "search_k": 64},
    "novelty": {"refused": 0.875, "accepted": 0.98},
    "audit": {"findings": 7, "wrong_label": 4, "labels_judged": 100},
}  # fmt: skip


def all_sections() -> list[Section]:
    """Every section, with an odd name wherever one can be."""
    finding = Finding("near_duplicate", ODD, ODD, "0.9", "", ODD, "b", "")
    row = {"class": ODD, "p_at_10": "0.5", "p_at_10_low": "0.4", "p_at_10_high": "0.6"}
    return [
        sections.baselines_section(METRICS),
        sections.audit_section([finding], {"near_duplicate": Image.fromarray(BLACK)}),
        sections.classes_section([row], [(ODD, "b")]),
        sections.map_section([ODD, "b"], np.array([[0, 1], [1, 0.2]], np.float32), lambda _: BLACK),
        sections.novelty_section([(ODD, 0.5)]),
        sections.figures_section(METRICS),
        sections.queries_section([Image.fromarray(BLACK)]),
        sections.edits_section(METRICS["evaluate"]["likeness"]),
        sections.training_section(HISTORY),
    ]


def test_the_headline_has_the_figures_and_how_far_they_can_be_trusted() -> None:
    tiles = {tile.value: tile.note for tile in sections.headline(METRICS)}
    assert tiles == {
        "0.123": "95 % interval 0.100–0.200",
        "0.500": "95 % interval 0.100–0.200",
        "0.750": "8 test images, each edited in 1 ways",
        "0.990": "64 candidates per query",
        "0.875": "0.980 of the test images are accepted",
        "7": "4 of 100 labels are probably wrong",
    }


def test_without_classes_the_headline_has_what_needs_no_labels() -> None:
    unlabeled = METRICS | {"evaluate": {"likeness": METRICS["evaluate"]["likeness"]}}
    assert [tile.value for tile in sections.headline(unlabeled)] == ["0.750", "0.990", "0.875", "7"]
    assert "fewer than two classes" in sections.training_section({}).content


def test_the_model_is_compared_with_the_baselines() -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", sections.baselines_section(METRICS).content)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows[1:]]
    assert cells[0] == ["this model", "0.250", "0.123", "0.375", "0.750", ""]
    assert [row[0] for row in cells[1:]] == ["its class part alone", "bare features", "raw pixels", "color histogram"]
    assert [row[4] for row in cells[1:]] == ["0.010", "0.070", "0.060", "0.040"]


def test_odd_names_stay_text_and_a_page_needs_nothing_from_elsewhere() -> None:
    page = render_page(ODD, ODD, sections.headline(METRICS), all_sections())
    assert "<script" not in page
    assert html.unescape(re.sub("<[^>]*>", "", page)).count(ODD) >= 6
    assert set(re.findall(r'(?:src|href)="([a-z]*:|#)', page)) == {"data:", "#"}
    assert not re.search(r"https?:|url\(|@import", page)


def test_the_same_figures_give_the_same_bytes() -> None:
    assert all_sections() == all_sections()


def test_long_lists_are_cut_and_say_where_the_rest_is() -> None:
    rows = [
        {"class": f"class {number:03}", "p_at_10": f"{number / 100}", "p_at_10_low": "0", "p_at_10_high": "1"}
        for number in range(100)
    ]
    content = sections.classes_section(rows[::-1], [(row["class"], "class 001") for row in rows]).content
    assert "40 of 100 are shown; all are in metrics/plots/per_class.csv" in content
    assert content.count("<tr><td>") == 10
    findings = [Finding("unreadable", f"a/{n}", "a", "", "", "", "", "broken") for n in range(2000)]
    content = sections.audit_section(findings, {}).content
    assert "Unreadable: 2,000" in content
    assert content.count("<td>a/") == content.count("<td>Broken.") == 10


def test_pictures_are_in_the_page() -> None:
    pixels = np.full((6, 4, 3), (200, 10, 10), np.uint8)
    content = re.search(r"base64,([^\"]+)", picture(Image.fromarray(pixels), "red"))
    assert content
    with Image.open(io.BytesIO(base64.b64decode(content[1]))) as image:
        assert (image.format, image.size) == ("WEBP", (4, 6))
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).max() < 8


@pytest.mark.parametrize("values", [[0.3], [0.0, 0.0], [5, 5], [-1, 1e9]])
def test_curves_of_any_finite_values_can_be_drawn(values: list[float]) -> None:
    drawn = charts.curves(dict.fromkeys(HISTORY, values), 1)
    assert drawn.startswith(b"<?xml")
    assert not re.search(rb"\bnan\b|\binf\b", drawn)


def test_many_classes_and_images_without_one_share_a_color() -> None:
    labels = [*np.repeat([f"c{number}" for number in range(12)], 2), "unlabeled"]
    assert len(charts.points(np.random.default_rng(0).random((25, 2)), labels)) > 1000


def test_a_collage_shows_in_each_place_the_image_nearest_to_its_middle() -> None:
    place = np.array([[1.2, 22.7], [1.5, 22.5], [1.5, 22.5], [24, 0]], np.float32) / 24
    drawn = charts.collage(place, lambda row: np.full((4, 6, 3), 10 * row, np.uint8))
    assert drawn.getpixel((60, 60)) == (10, 10, 10, 255)
    assert drawn.getpixel((959, 959)) == (30, 30, 30, 255)
    assert drawn.getpixel((500, 500)) == (0, 0, 0, 0)
