"""The report: right figures, failures first, and plain text stays text."""

import html
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo

from show_report import changes, moved
from similarity.errors import UserError
from similarity.finding import Finding, explain
from similarity.reporting import page
from similarity.reporting.page import Query

ODD = """<script>alert("x")</script> & 'c' $title {{ title }}.jpg"""
ODD_KEY = ODD.replace("/", "|")
HISTORY = [dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "val_map_at_r"), value) for value in "10"]
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
        "color_histogram": {"same_image_at_1": 0.04},
        "pixels": {"same_image_at_1": 0.06},
        "features": {"same_image_at_1": 0.07},
    },
    "ann": {"recall_at_k": 0.99, "k": 10, "search_k": 64},
    "novelty": {"refused": 0.875, "accepted": 0.98},
    "audit": {"findings": 7, "wrong_label": 4, "labels_judged": 100},
}  # fmt: skip
KEYS = [f"{ODD_KEY}/{ODD_KEY}", "b/1.jpg", "b/2.jpg", "c/3.jpg"]
PICTURES = {"picture": lambda key: "data:image/webp," * (key in KEYS), "in_words": "{:.2f}".format}
QUERIES = [
    Query("b/1.jpg", [("b/2.jpg", 0.9), ("c/3.jpg", 0.8)], 0.5),
    Query("b/2.jpg", [("c/3.jpg", 0.4), (KEYS[0], 0.3)], 0),
    Query("c/3.jpg", [("b/1.jpg", 0.7), ("b/2.jpg", 0.6)], 0),
]


def render(**changed: object) -> str:
    """The whole page, with nothing on it but what is given, and with the figures above."""
    content: dict[str, object] = {
        "images": 4, "classes_text": "3 classes", "source": "", "splits": {"train": 1, "valid": 0, "test": 3},
        "metrics": METRICS, **PICTURES, "explain": explain, "map": "", "curves": "",
        "findings": {}, "confusion": {}, "figures": list(page.flat(METRICS)),
    }  # fmt: skip
    empty = ("queries", "failures", "shown_queries", "across", "wrong", "classes", "refused")
    return page.render("report.html", **{**content, **{name: [] for name in empty}, **changed})


def cells(text: str, section: str) -> list[list[str]]:
    """The texts of the rows of a section's tables."""
    (found,) = re.findall(f'<section id="{section}">(.*?)</section>', text, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", found, re.DOTALL)
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]


def row_of(name: str, score: float) -> dict[str, str]:
    return {"class": name, "p_at_10": f"{score}", "p_at_10_low": "0.4", "p_at_10_high": "0.6"}


def test_figures_come_with_their_intervals_and_what_the_model_has_to_beat() -> None:
    def tiles(metrics: dict[str, dict]) -> dict[str, str]:
        return dict(re.findall(r"<li><b>(.*?)</b>.*?<small>(.*?)</small></li>", render(metrics=metrics)))

    without_labels = {
        "0.750": "8 test images, each edited in 1 ways",
        "0.990": "64 candidates per query",
        "0.875": "0.980 of the test images are accepted",
        "7": "4 of 100 labels are probably wrong",
    }
    interval = "95 % interval 0.100–0.200"
    assert tiles(METRICS) == {"0.123": interval, "0.500": interval, **without_labels}
    assert tiles(METRICS | {"evaluate": {"likeness": METRICS["evaluate"]["likeness"]}}) == without_labels
    unseen = METRICS["evaluate"] | {"unseen": {"p_at_10": 0.0625}}
    assert tiles(METRICS | {"evaluate": unseen})["0.062"] == "test images among the other test images"
    rows = cells(render(), "baselines")
    assert rows[1] == ["this model", "0.250", "0.123", "0.375", "0.750", ""]
    assert [row[0] for row in rows[2:]] == ["its class part alone", "bare features", "raw pixels", "color histogram"]
    assert [row[4] for row in rows[2:]] == ["0.010", "0.070", "0.060", "0.040"]


def test_failures_come_with_the_surest_first_and_say_what_was_found() -> None:
    across = [Finding("near_duplicate", "b/1.jpg", "b", "0.9", "", "c/3.jpg", "c")]
    wrong = [Finding("wrong_label", "b/2.jpg", "b", "0.8", "c")]
    content = render(queries=QUERIES, failures=page.failures(QUERIES), across=across, wrong=wrong)
    assert re.findall(r"<h3>(.*?)</h3>", content) == [
        "Failed queries: 2 of 3 test images",
        "Duplicates in different classes: 1",
        "Labels that are probably wrong: 1",
    ]
    captions = re.findall(r"<figcaption>(.*?)<small>(.*?)</small>", content)
    assert captions[:3] == [("query<br>c", "3.jpg"), ("0.70<br>b", "1.jpg"), ("0.60<br>b", "2.jpg")]
    assert captions[-3:] == [("b", "1.jpg"), ("c<br>nearly identical", "3.jpg"), ("b<br>rather c", "2.jpg")]
    assert 'href="http://127.0.0.1:8000/?key=c/3.jpg"' in content
    assert page.failures([QUERIES[0]._replace(p_at_10=None)]) == []
    assert "No query failed" in render()


def test_classes_are_counted_the_hardest_first_and_confusions_are_a_table() -> None:
    counts, scores = {"a": [6, 2, 2], "b": [3, 1, 1], "new": [4, 0, 0]}, {"a": row_of("a", 0.9), "b": row_of("b", 0.25)}
    pairs = [("a", "a"), ("b", "a"), ("b", "a"), ("b", "b")]
    content = render(classes=page.describe_classes(counts, scores, pairs), confusion=page.confusion(pairs))
    rows = cells(content, "classes")
    assert rows[1:4] == [
        ["b", "5", "3", "1", "1", "0.250", "0.40–0.60", "a (2)"],
        ["a", "10", "6", "2", "2", "0.900", "0.40–0.60", ""],
        ["new", "4", "4", "0", "0", "", "", ""],
    ]
    assert rows[5:] == [["a", "1", ""], ["b", "2", "1"]]


def test_long_lists_are_cut_and_say_where_the_rest_is() -> None:
    counts = {f"class {number:03}": [1, 1, 1] for number in range(100)}
    findings = {"unreadable": [Finding("unreadable", f"a/{n}", "a", "", "", "", "", "broken") for n in range(2000)]}
    content = render(classes=page.describe_classes(counts, {}, []), findings=findings)
    assert "60 of 100 are shown; all are in metrics/plots/per_class.csv" in content
    assert content.count("<td>class ") == 60
    assert "Unreadable: 2,000" in content
    assert content.count("<td>a/") == content.count("<td>Broken.") == 10


def test_odd_names_stay_text() -> None:
    finding = Finding("near_duplicate", KEYS[0], ODD, "0.9", "", "b/1.jpg", "b", "")
    text = render(
        source=ODD, failures=QUERIES, shown_queries=QUERIES, across=[finding],
        classes=page.describe_classes({ODD: [1, 2, 3]}, {ODD: row_of(ODD, 0.5)}, []),
        confusion=page.confusion([(ODD, "b")]), refused=[{"images": ODD, "refused": "0.5"}],
        map=page.draw_map(np.eye(2, dtype=np.float32), np.array([ODD, "b"])),
        findings={"near_duplicate": [finding]}, curves=page.draw_curves(HISTORY),
    )  # fmt: skip
    assert "<script" not in text
    assert html.unescape(re.sub("<[^>]*>", "", text)).count("alert") >= 8
    assert set(re.findall(r'src="([a-z]*:)', text)) == {"data:"}
    assert set(re.findall(r'href="(#|.{22})', text)) == {"#", "http://127.0.0.1:8000/"}
    assert not re.search(r"url\(|@import", text)


def test_changes_are_those_of_results() -> None:
    def with_neighbors(*keys: str) -> list[Query]:
        return [Query(each.key, [(key, 0.5) for key in keys]) for each in QUERIES]

    found = moved(with_neighbors("b/1.jpg", "gone/9.jpg"), with_neighbors("b/1.jpg", "b/2.jpg"))
    rows = [("train.lr", 0.1, 0.2)]
    content = page.render("run.html", facts={"name": ODD}, revision="v1", changes=rows, moved=found, **PICTURES)
    assert "<td>train.lr</td><td>0.1</td><td>0.2</td>" in content
    assert "3 test images have other nearest images" in content
    assert content.count("1 of 2 nearest are the same") == 3
    assert "gone" not in content  # there is no picture of it
    assert "<script" not in content
    assert moved(QUERIES, QUERIES) == []


def test_a_revision_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Repo.init().close()
    with pytest.raises(UserError, match=r"cannot read .* of 'nosuchrev' .*: see `dvc exp list --all`"):
        changes("nosuchrev")
