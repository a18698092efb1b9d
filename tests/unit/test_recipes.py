from pathlib import Path

import pytest

from similarity.errors import UserError
from similarity.sources.downloads import read_recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid YAML"),
        ("title: t\nlicence: l\ncitation: c\n", "exactly one of `url` and `generate`"),
        ("title: t\nlicence: l\ncitation: c\nurl: ftp://x/y\n", "url: "),
        ("title: t\nlicence: l\ncitation: c\nurl: http://[::1/y\n", "url: "),
        ("title: t\nlicence: l\ncitation: c\nurl: http://x/y\nsha265: abc\n", "sha265: "),
        ("", "the recipe: "),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as refusal:
        read_recipe(recipe)
    assert str(recipe) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["demo", "geological"])
def test_the_recipes_of_the_project_are_valid(name: str) -> None:
    read_recipe(Path(__file__).parents[2] / "data" / "sources" / f"{name}.yaml")
