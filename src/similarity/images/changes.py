"""Everyday edits under their former name: for modules that have not taken the new one yet."""

from similarity.images.edits import EDITS as CHANGES
from similarity.images.edits import edit as change

__all__ = ["CHANGES", "change"]
