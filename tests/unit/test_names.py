import numpy as np
import pytest

from service.catalog import folded, rank_names

KEYS = ["a/My Cat.JPG", "a/cat.jpg", "a/category_2.png", "a/red_cat.png", "b/concat.jpg", "b/dog.png", "cat/Über.jpg"]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("CAT", ["a/cat.jpg", "a/category_2.png", "a/My Cat.JPG", "a/red_cat.png", "b/concat.jpg"]),
        ("cat.jpg", ["a/cat.jpg", "a/My Cat.JPG", "b/concat.jpg"]),
        ("2", ["a/category_2.png"]),
        ("U\u0308BER", ["cat/Über.jpg"]),
        (".*", []),
    ],
)
def test_a_part_of_a_name_finds_files_the_best_match_first(part: str, found: list[str]) -> None:
    names = [folded(key.rpartition("/")[2]) for key in KEYS]
    assert [KEYS[row] for row in rank_names(names, part, np.arange(len(KEYS)))] == found
    assert rank_names(names, "cat", np.array([3, 4, 6])).tolist() == [3, 4]  # of those given
