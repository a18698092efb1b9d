"""Keeping libraries that write to stderr by themselves from doing so."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_stderr(shown: bool = True) -> Iterator[None]:
    """Holds back what is written to stderr, also by C++; it is shown only if the block fails, and `shown` is true."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            if shown:
                messages.seek(0)
                os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
