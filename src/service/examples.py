"""An example of each form and each answer, for the OpenAPI document; all are checked as what they are examples of."""

from typing import Any

from pydantic import BaseModel

from service.forms import BatchForm, DownloadForm, SearchForm
from service.schema import (
    Answer,
    ApproximateInfo,
    BatchEntry,
    BatchResult,
    ClassCount,
    DataInfo,
    EmbeddingMap,
    FindingCount,
    FindingEntry,
    FindingPage,
    Health,
    ImageEntry,
    ImagePage,
    IndexInfo,
    Info,
    Layout,
    LimitInfo,
    ModelInfo,
    Neighbor,
    Novelty,
    Query,
    SearchResult,
    SplitCount,
)

_KEY, _OTHER, _COPY = "marble/marble_0042.jpg", "marble/marble_0007.jpg", "schist/schist_0011.jpg"
_MD5 = "9e107d9d372bb6826bd81d3542a419d6"
_UPLOAD = Query(key=None, label=None, width=4032, height=3024, split=None, findings=[])
_RESULT = SearchResult(
    query=_UPLOAD,
    queries=[_UPLOAD],
    answer=Answer(
        index="exact",
        source="search",
        milliseconds=0.4,
        matches=144,
        neighbors=[
            Neighbor(key=_KEY, label="marble", cosine=0.974652, split="train", findings=[]),
            Neighbor(key=_COPY, label="schist", cosine=0.961007, split="test", findings=["wrong_label"]),
        ],
    ),
    comparison=None,
    embed_milliseconds=21.5,
    similar=True,
    novelty=Novelty(distance=0.2113, max_distance=0.3914),
)
_UNREADABLE = BatchEntry(result=None, error="This cannot be read as an image: image file is truncated.", status=415)
_PAGE = {"page": 1, "pages": 1}
_EXAMPLES: list[BaseModel] = [
    SearchForm(key=[_KEY], like=[_OTHER], unlike=[_COPY], k=5),
    BatchForm(key=[_KEY, _OTHER], k=5),
    DownloadForm(key=[_KEY, _OTHER]),
    _RESULT,
    BatchResult(results=[BatchEntry(result=_RESULT, error=None, status=200), _UNREADABLE]),
    ImagePage(
        images=[ImageEntry(key=_KEY, label="marble", width=640, height=480, split="train", findings=[])],
        total=1,
        **_PAGE,
    ),
    FindingPage(
        audited=True,
        counts=[FindingCount(kind="wrong_label", findings=1)],
        findings=[
            FindingEntry(
                kind="wrong_label",
                key=_COPY,
                label="schist",
                indexed=True,
                suggested="marble",
                other=None,
                other_label=None,
                score=0.931,
                explanation="Probably of class marble: the label is wrong with a probability of 0.931.",
            )
        ],
        total=1,
        **_PAGE,
    ),
    EmbeddingMap(
        classes=["marble", "schist"],
        keys=[_KEY, _COPY],
        labels=[0, 1],
        splits=["train", "test"],
        findings={"duplicate": [0, 1]},
        x=[0.25, 0.75],
        y=[0.5, 1.0],
        look=Layout(x=[0.5, 0.5], y=[0.0, 1.0]),
    ),
    Info(
        model=ModelInfo(
            backbone="efficientnet_lite0",
            image_size=224,
            features=3328,
            engine="openvino",
            embedding_size=288,
            visual_weight=0.3,
            md5=_MD5,
        ),
        data=DataInfo(
            images=144,
            classes=[ClassCount(name="marble", images=72), ClassCount(name="schist", images=72)],
            splits=[SplitCount(name="train", images=100), SplitCount(name="test", images=44)],
            audited=True,
            md5=_MD5,
        ),
        indexes=IndexInfo(stored_neighbors=10, approximate=ApproximateInfo(backend="annoy", search_k=10_000, md5=_MD5)),
        metrics={"retrieval": {"p_at_1": 0.97, "p_at_10": 0.95}},
        limits=LimitInfo(
            upload_bytes=20_000_000,
            megapixels=50,
            k=100,
            results=1000,
            images=32,
            download_images=1000,
            download_bytes=500_000_000,
        ),
    ),
    Health(status="ok"),
]


def add_examples(document: dict[str, Any]) -> None:
    """Puts the examples into an OpenAPI document, in place."""
    for each in _EXAMPLES:
        example = each.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        document["components"]["schemas"][type(each).__name__]["examples"] = [example]
