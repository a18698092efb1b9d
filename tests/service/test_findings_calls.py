"""What the audit found, as the service shows it."""

import httpx

from projects import Project
from service_process import TOKEN

KEY, COPY, ODD = "jug/jug_0003.jpg", "vase/vase_0005.jpg", "bowl/bowl_0001.jpg"


def listed(client: httpx.Client, **query: str | int | bool) -> list[dict]:
    return client.get("/api/findings", params=query).json()["findings"]


def test_the_most_important_findings_come_first_in_words_and_can_be_chosen(both: httpx.Client) -> None:
    page = both.get("/api/findings").json()
    kinds = ["duplicate", "wrong_label", "unreadable", "odd", "doubtful_label", "class_imbalance"]
    assert [each["kind"] for each in page["findings"]] == kinds
    assert (page["audited"], page["total"], page["pages"]) == (True, 6, 1)
    assert {each["kind"]: each["findings"] for each in page["counts"]} == dict.fromkeys(kinds, 1)
    duplicate, _, unreadable, *_, imbalance = page["findings"]
    assert duplicate["explanation"] == f"The same as {COPY}, which is of class vase (the same bytes)."
    assert (duplicate["key"], duplicate["other"], duplicate["score"], duplicate["indexed"]) == (KEY, COPY, 1, True)
    assert (unreadable["indexed"], unreadable["score"]) == (False, None)
    assert (imbalance["key"], imbalance["label"], imbalance["indexed"]) == (None, "vase", False)
    assert [each["key"] for each in listed(both, kind="odd")] == [ODD]
    assert [each["kind"] for each in listed(both, key=COPY)] == ["duplicate", "wrong_label"]
    assert [each["kind"] for each in listed(both, label="jug")] == ["duplicate"]
    assert [each["kind"] for each in listed(both, page=2, size=4)] == ["doubtful_label", "class_imbalance"]
    assert listed(both, page=3, size=4) == []


def test_images_have_their_findings_and_can_be_listed_and_searched_by_them(both: httpx.Client) -> None:
    [entry] = both.get("/api/images", params={"name": "vase_0005"}).json()["images"]
    assert entry["findings"] == ["wrong_label", "duplicate"]
    answer = both.get("/api/similar", params={"key": KEY, "k": 24, "label": "vase"}).json()
    assert answer["query"]["findings"] == ["duplicate"]
    found = {each["key"]: each["findings"] for each in answer["answer"]["neighbors"]}
    assert found[COPY] == ["wrong_label", "duplicate"]
    for finding, expected in {
        "odd": {ODD},
        "duplicate": {KEY, COPY},
        "any": {KEY, COPY, ODD},
        "outlier": set(),
    }.items():
        page = both.get("/api/images", params={"finding": finding}).json()
        assert {each["key"] for each in page["images"]} == expected
        answer = both.get("/api/similar", params={"key": KEY, "finding": finding}).json()["answer"]
        assert {each["key"] for each in answer["neighbors"]} == expected - {KEY}
    assert both.get("/api/images", params={"finding": "none"}).json()["total"] == 144 - 3


def decide(client: httpx.Client, **fields: str) -> httpx.Response:
    return client.post("/api/corrections", data=fields)


def test_decisions_are_written_and_shown_with_the_findings(both: httpx.Client, one_part: Project) -> None:
    path = one_part.folder / "data/corrections.csv"
    assert both.get("/api/corrections").json() == {"writable": True, "corrections": []}
    decide(both, key=COPY, decision="relabel", label="jug")
    decide(both, key=ODD, decision="right")
    answer = decide(both, key="bowl/broken.png", decision="leave_out")  # it is not indexed
    assert [each["key"] for each in answer.json()["corrections"]] == [ODD, "bowl/broken.png", COPY]
    rows = ["key,decision,label", f"{ODD},right,", "bowl/broken.png,leave_out,", f"{COPY},relabel,jug"]
    assert path.read_text(encoding="utf-8").splitlines() == rows
    [found] = listed(both, kind="wrong_label")
    assert (found["decision"], found["decided_label"]) == ("relabel", "jug")
    [pair] = listed(both, kind="duplicate")  # it is decided with its other image
    assert (pair["key"], pair["decision"], pair["decided_key"]) == (KEY, "relabel", COPY)
    assert [each["kind"] for each in listed(both, decided=False)] == ["class_imbalance"]
    decide(both, key=COPY, decision="undecided")
    undecided = ["duplicate", "wrong_label", "class_imbalance"]
    assert [each["kind"] for each in listed(both, decided=False)] == undecided
    for fields, code in (
        ({"key": "jug/none.jpg", "decision": "right"}, "unknown_name"),
        ({"key": KEY, "decision": "relabel"}, "invalid"),
        ({"key": KEY, "decision": "relabel", "label": "../x"}, "invalid"),
    ):
        assert decide(both, **fields).json()["code"] == code
    path.unlink()
    path.mkdir()  # nothing can take its place, not even for root
    assert decide(both, key=KEY, decision="right").json()["code"] == "read_only"
    path.rmdir()


def test_decisions_need_a_token_where_others_can_reach_the_service(named: str, closed: str) -> None:
    assert httpx.get(f"{named}/api/corrections").json()["writable"] is False
    refused = httpx.post(f"{named}/api/corrections", data={"key": KEY, "decision": "right"})
    assert (refused.status_code, refused.json()["code"]) == (403, "read_only")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{closed}/api/corrections", headers=headers).json()["writable"] is True
    assert httpx.post(f"{closed}/api/corrections", data={"key": KEY, "decision": "right"}).status_code == 401
