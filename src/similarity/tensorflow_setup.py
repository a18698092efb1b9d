"""Importing TensorFlow quietly, and set to give the same bits on every run."""

import os

from similarity.held_stderr import held_stderr


def prepare_tensorflow() -> None:
    """Imports TensorFlow and Keras without their start-up messages, with deterministic operations.

    Must run before anything else imports either. If the import fails, what it wrote to stderr is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Python raises what matters; a missing GPU does not
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # stated, because another setting gives other bits
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with held_stderr():  # the C++ side writes before its log level is set up
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
