"""The one way to OpenVINO that all engines of this process share."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino as ov


@cache
def openvino_core() -> "ov.Core":
    """OpenVINO's core, made once and kept until the process ends.

    With each core, the CPU plugin gives the thread a stack for signals, and takes it away at the core's end. After two
    that end in the order in which they began, the stack is one that is gone: the next signal that Python handles is a
    segmentation fault.
    """
    import openvino as ov

    return ov.Core()
