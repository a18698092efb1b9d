"""What the splits of a data set are called by those who make one."""

SPLIT_OF_NAME = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}


def split_of_name(name: str) -> str | None:
    """The split, one of `SPLIT_NAMES`, that a folder or a cell of a table names, if it names one."""
    return SPLIT_OF_NAME.get(name.casefold())
