"""Keep libraries quiet, and set up TensorFlow and OpenVINO to give the same bits on every run."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import openvino as ov

# OpenVINO's telemetry would look up Google Analytics at every import, and leave a client id in the home folder. Without
# that package OpenVINO takes a stub of its own. Whatever imports OpenVINO imports this module first.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # what `import` takes for "not there"


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
    """Import TensorFlow and Keras without their start-up messages; must run before anything else imports either."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Python raises what matters; a missing GPU does not
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # stated, because another setting gives other bits
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with held_stderr():  # the C++ side writes before its log level is set up
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()


@cache
def openvino_core() -> "ov.Core":
    """Make OpenVINO's core once, and keep it until the process ends.

    The CPU plugin ties the thread's stack for signals to the core: after two cores that end in the order in which they
    began, the next signal that Python handles is a segmentation fault.
    """
    import openvino as ov

    # Its NumPy bindings are set up at first use; two threads that do so at the same time wait for each other for ever.
    assert ov.Tensor(np.zeros(1, np.float32)).data.size
    return ov.Core()
