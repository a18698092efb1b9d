"""Images are plain files now: for modules that have not said so yet."""

from pathlib import Path

ImageFile = ImageFolder = Path
