"""Memory that is used up is told from other errors, whoever says it."""

from __future__ import annotations

import pytest
import torch

from trainer.worker.errors import is_out_of_memory

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 12 bytes."),
        MemoryError(),
    ],
    ids=lambda error: f"{type(error).__name__}: {error}"[:60],
)
def test_memory_that_is_used_up_is_recognised(error: BaseException) -> None:
    assert is_out_of_memory(error)
    wrapped = RuntimeError("the step failed")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        ValueError("the row is about running out of memory"),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: f"{type(error).__name__}: {error}"[:60],
)
def test_other_errors_are_not(error: BaseException) -> None:
    assert not is_out_of_memory(error)
