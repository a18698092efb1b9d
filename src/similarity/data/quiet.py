"""Libraries that write to stderr by themselves, kept from doing so."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_stderr(shown: bool = True) -> Iterator[None]:
    """Hold back what is written to stderr, also by C++; show it only if the block fails, and `shown` is true."""
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


def prepare_tensorflow() -> None:
    """Import TensorFlow and Keras without their start-up messages, and set to give the same bits on every run.

    Must run before anything else imports either. If the import fails, what it wrote to stderr is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Python raises what matters; a missing GPU does not
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # stated, because another setting gives other bits
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with held_stderr():  # the C++ side writes before its log level is set up
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
