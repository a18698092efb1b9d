"""How findings are told."""

from pathlib import Path

import pytest

import audit
from similarity.errors import UserError
from similarity.files import write_table
from similarity.findings.finding import KINDS, Finding
from similarity.findings.listing import explain, read_findings

FINDINGS = {
    "odd": Finding("odd", "a/1.png", "a", "0.000000", "", "", "", "nearly one color"),
    "outlier": Finding("outlier", "a/2.png", "a", "49.721272", "", "", "", "distance to its ten nearest"),
    "wrong_label": Finding("wrong_label", "a/3.png", "a", "0.931234", "b", "", "", "probability"),
    "same class": Finding("duplicate", "a/4.png", "a", "1.000000", "", "a/5.png", "a", "the same bytes"),
    "two classes": Finding("near_duplicate", "a/6.png", "a", "0.981000", "", "b/7.png", "b", "correlation"),
}  # fmt: skip


def test_one_image_in_two_classes_matters_most_and_then_labels_and_copies(tmp_path: Path) -> None:
    write_table(tmp_path / "audit.csv", Finding._fields, FINDINGS.values())
    order = ["two classes", "wrong_label", "same class", "outlier", "odd"]
    assert read_findings(tmp_path / "audit.csv") == [FINDINGS[name] for name in order]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("odd", "Nearly one color."),
        ("outlier", "Unlike all others (distance to its ten nearest: 49.7)."),
        ("wrong_label", "Probably of class b: the label is wrong with a probability of 0.931."),
        ("same class", "The same as a/5.png (the same bytes)."),
        ("two classes", "Nearly the same as b/7.png, which is of class b (correlation 0.981)."),
    ],
)
def test_a_finding_is_explained_in_a_sentence(name: str, sentence: str) -> None:
    assert explain(FINDINGS[name]) == sentence


def test_all_kinds_are_counted_and_no_other_is_read(tmp_path: Path) -> None:
    assert set(audit.COUNTED) == set(KINDS)
    write_table(tmp_path / "audit.csv", Finding._fields, [("blurred", *FINDINGS["odd"][1:])])
    with pytest.raises(UserError, match="'blurred', which is of another version"):
        read_findings(tmp_path / "audit.csv")
