"""The report: right figures, failures first, plain text stays text, and the same bytes for the same run."""

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from show_report import PARAMS, changes
from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.findings.finding import Finding
from similarity.layout import QUERY_NEIGHBORS
from similarity.reporting import charts
from similarity.reporting import page as sections
from similarity.reporting.album import Album, Query
from similarity.reporting.markup import Section, picture, render_page

ODD = """<script>alert("x")</script> & 'c' $title.jpg"""
ODD_KEY = ODD.replace("/", "|")
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
KEYS = [f"{ODD_KEY}/{ODD_KEY}", "b/1.jpg", "b/2.jpg", "c/3.jpg"]
MANIFEST = Manifest([ImageRecord(key, key.split("/")[0], "", 9, 5) for key in KEYS])
ALBUM = Album(lambda _: BLACK, {key: row for row, key in enumerate(KEYS)}, "{:.2f}".format, True)
QUERIES = [
    Query("b/1.jpg", [("b/2.jpg", 0.9), ("c/3.jpg", 0.8)], 0.5),
    Query("b/2.jpg", [("c/3.jpg", 0.4), (KEYS[0], 0.3)], 0),
    Query("c/3.jpg", [("b/1.jpg", 0.7), ("b/2.jpg", 0.6)], 0),
]


def row_of(name: str, score: float) -> dict[str, str]:
    return {"class": name, "p_at_10": f"{score}", "p_at_10_low": "0.4", "p_at_10_high": "0.6"}


def all_sections() -> list[Section]:
    """Every section, with an odd name wherever one can be."""
    finding = Finding("near_duplicate", KEYS[0], ODD, "0.9", "", "b/1.jpg", "b", "")
    return [
        sections.failures_section(QUERIES, [finding], ALBUM),
        sections.classes_section({ODD: [1, 2, 3], "b": [0, 0, 0]}, {ODD: row_of(ODD, 0.5)}, [(ODD, "b")]),
        sections.queries_section(QUERIES, ALBUM),
        sections.map_section(MANIFEST, np.array([[0, 1], [1, 0.2], [0, 0], [1, 1]], np.float32)),
        sections.edits_section(METRICS["evaluate"]["likeness"]),
        sections.novelty_section([(ODD, 0.5)]),
        sections.baselines_section(METRICS),
        sections.audit_section([finding]),
        sections.training_section(HISTORY),
        sections.figures_section(METRICS),
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
    assert "No query failed" in sections.failures_section([QUERIES[0]._replace(p_at_10=None)], [], ALBUM).content


def test_failures_come_with_the_surest_first_and_say_what_was_found() -> None:
    findings = [
        Finding("near_duplicate", "b/1.jpg", "b", "0.9", "", "b/2.jpg", "b"),
        Finding("near_duplicate", "b/1.jpg", "b", "0.9", "", "c/3.jpg", "c"),
        Finding("wrong_label", "b/2.jpg", "b", "0.8", "c"),
    ]
    content = sections.failures_section(QUERIES, findings, ALBUM).content
    assert re.findall(r"<h3>(.*?)</h3>", content) == [
        "Failed queries: 2 of 3 test images",
        "Duplicates in different classes: 1",
        "Labels that are probably wrong: 1",
    ]
    captions = re.findall(r"<figcaption>(.*?)<small>(.*?)</small>", content)
    assert captions[:4] == [
        ("query<br>c", "3.jpg"),
        ("0.70<br>b", "1.jpg"),
        ("0.60<br>b", "2.jpg"),
        ("query<br>b", "2.jpg"),
    ]
    assert captions[-3:] == [("b", "1.jpg"), ("c<br>nearly identical", "3.jpg"), ("b<br>rather c", "2.jpg")]
    assert content.count('<figure class="other">') == 2 + 2 + 1
    assert 'href="http://127.0.0.1:8000/?key=c/3.jpg"' in content


def test_classes_are_counted_the_hardest_first_and_confusions_are_a_table() -> None:
    counts, scores = {"a": [6, 2, 2], "b": [3, 1, 1], "new": [4, 0, 0]}, {"a": row_of("a", 0.9), "b": row_of("b", 0.25)}
    content = sections.classes_section(counts, scores, [("a", "a"), ("b", "a"), ("b", "a"), ("b", "b")]).content
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", content)]
    assert rows[1:4] == [
        ["b", "5", "3", "1", "1", "0.250", "0.40–0.60", "a (2)"],
        ["a", "10", "6", "2", "2", "0.900", "0.40–0.60", ""],
        ["new", "4", "4", "0", "0", "", "", ""],
    ]
    assert rows[5:] == [["1", ""], ["2", "1"]]
    assert re.findall(r'class="(\w+)" style="--share:(\d+)%"', content) == [
        ("right", "100"), ("wrong", "0"), ("wrong", "67"), ("right", "33"),
    ]  # fmt: skip


def test_changes_are_those_of_parameters_metrics_and_results() -> None:
    def texts(lr: float, figures: str, neighbors: list[str]) -> dict[Path, str]:
        rows = "".join(f"{query.key},{key},0.5\n" for query in QUERIES for key in neighbors)
        params = f"train: {{lr: {lr}, epochs: 60}}"
        return {PARAMS: params, Path("retrieval.json"): figures, QUERY_NEIGHBORS: f"path,neighbor,cosine\n{rows}"}

    before, now = (
        texts(0.1, '{"p": 0.5}', ["b/1.jpg", "gone/9.jpg"]),
        texts(0.2, '{"p": 1, "q": 2}', ["b/1.jpg", "b/2.jpg"]),
    )
    content = changes(before, now, ALBUM)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", content)]
    assert rows == [["p", "0.5", "1"], ["q", "", "2"], ["train.lr", "0.1", "0.2"]]
    assert "3 of 3 test images have other nearest images" in content
    assert content.count("1 of 2 nearest are the same") == 3
    assert "gone" not in content  # there is no picture of it


def test_the_model_is_compared_with_the_baselines() -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", sections.baselines_section(METRICS).content)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows[1:]]
    assert cells[0] == ["this model", "0.250", "0.123", "0.375", "0.750", ""]
    assert [row[0] for row in cells[1:]] == ["its class part alone", "bare features", "raw pixels", "color histogram"]
    assert [row[4] for row in cells[1:]] == ["0.010", "0.070", "0.060", "0.040"]


def test_odd_names_stay_text_and_a_page_loads_nothing_from_elsewhere() -> None:
    page = render_page(ODD, ODD, sections.headline(METRICS), all_sections())
    assert "<script" not in page
    assert html.unescape(re.sub("<[^>]*>", "", page)).count("alert") >= 8
    assert set(re.findall(r'src="([a-z]*:)', page)) == {"data:"}
    assert set(re.findall(r'href="(#|.{22})', page)) == {"#", "http://127.0.0.1:8000/"}
    assert not re.search(r"url\(|@import", page)


def test_the_same_figures_give_the_same_bytes() -> None:
    assert all_sections() == all_sections()


def test_long_lists_are_cut_and_say_where_the_rest_is() -> None:
    counts = {f"class {number:03}": [1, 1, 1] for number in range(100)}
    scores = {name: row_of(name, number / 100) for number, name in enumerate(counts)}
    content = sections.classes_section(counts, scores, [(name, "class 001") for name in counts]).content
    assert "60 of 100 are shown; all are in metrics/plots/per_class.csv" in content
    assert content.count("<tr><td>") == 60
    findings = [Finding("unreadable", f"a/{n}", "a", "", "", "", "", "broken") for n in range(2000)]
    content = sections.audit_section(findings).content
    assert "Unreadable: 2,000" in content
    assert content.count("<td>a/") == content.count("<td>Broken.") == 10


def test_pictures_are_in_the_page() -> None:
    pixels = np.full((6, 4, 3), (200, 10, 10), np.uint8)
    content = re.search(r"base64,([^\"]+)", picture(Image.fromarray(pixels), "red"))
    assert content
    with Image.open(io.BytesIO(base64.b64decode(content[1]))) as image:
        assert (image.format, image.size) == ("WEBP", (4, 6))
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).max() < 8


@pytest.mark.parametrize("values", [[0.3], [-1, 1e9]])
def test_curves_of_any_finite_values_can_be_drawn(values: list[float]) -> None:
    drawn = charts.curves(dict.fromkeys(HISTORY, values))
    assert drawn.startswith(b"<?xml")
    assert not re.search(rb"\bnan\b|\binf\b", drawn)


def test_each_class_has_a_color_of_its_own_on_the_map() -> None:
    labels = [*(f"c{number}" for number in range(80)), "unlabeled"]
    drawn = charts.points(np.random.default_rng(0).random((81, 2)), labels)
    assert len(set(re.findall(rb"fill: (#[0-9a-f]{6})", drawn))) >= 60
