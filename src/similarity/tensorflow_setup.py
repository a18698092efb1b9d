"""Importing TensorFlow quietly, and set to give the same bits on every run."""

import os
import sys
import tempfile


def prepare_tensorflow() -> None:
    """Imports TensorFlow and Keras without their start-up messages, with deterministic operations.

    Must run before anything else imports either. If the import fails, what it wrote to stderr is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Python raises what matters; a missing GPU does not
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # stated, because another setting gives other bits
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # The C++ side writes to the file descriptor before its log level is set up.
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
