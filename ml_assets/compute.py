"""Chooses torch's device and number of threads, and runs networks in batches on it."""

import os
import platform
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml_assets.errors import InvalidValue

if TYPE_CHECKING:
    import torch

DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,2})?")
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""Device files of GPU drivers; one exists if a driver is installed."""
ON_A_GPU = 8
"""How many times larger a batch on a GPU is than on a processor, if its memory suffices."""


def limit_threads() -> None:
    """Set torch's number of threads to `ML_ASSETS_TORCH_THREADS`, one by default. Raises `InvalidValue`.

    Several threads wait for each other and become very slow on a busy machine; one does the same work per core.
    """
    import torch

    torch.set_num_threads(threads())


def threads() -> int:
    """The number of torch threads per process: `ML_ASSETS_TORCH_THREADS`, one by default. Raises `InvalidValue`."""
    value = os.environ.get("ML_ASSETS_TORCH_THREADS") or "1"
    if not value.isdigit() or not 0 < int(value) < 1000:
        raise InvalidValue(f"ML_ASSETS_TORCH_THREADS is {value!r}: give a number of threads, such as 1")
    return int(value)


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device() -> "torch.device":
    """The torch device for networks, from `ML_ASSETS_DEVICE`: `auto`, `cpu`, `cuda` or `cuda:1`. Raises `InvalidValue`.

    `auto`, the default, takes the first GPU if torch sees one.
    """
    import torch

    asked = _asked()
    if asked == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    found = torch.device(asked)
    if found.type == "cuda" and (found.index or 0) >= (seen := torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise InvalidValue(
            f"ML_ASSETS_DEVICE is {asked!r}, but torch {torch.__version__} sees "
            f"{f'only {seen} of them' if seen else 'no GPU that it can use'}: choose cpu or auto, or look at nvidia-smi"
        )
    return torch.device("cuda:0") if asked == "cuda" else found


def on_a_gpu() -> bool:
    """Whether networks run on a GPU; does not import torch if no GPU driver is installed. Raises `InvalidValue`."""
    asked = _asked()
    if asked == "cpu" or (asked == "auto" and not any(map(os.path.exists, DRIVERS))):
        return False
    return bool(device().type == "cuda")


def _asked() -> str:
    asked = os.environ.get("ML_ASSETS_DEVICE", "").strip().lower() or "auto"
    if not DEVICE.fullmatch(asked):
        raise InvalidValue(f"ML_ASSETS_DEVICE is {asked!r}: choose auto, cpu, cuda, or a certain GPU such as cuda:1")
    return asked


def placed(where: "torch.device") -> AbstractContextManager[Any]:
    """Context manager in which torch creates new tensors, such as masks, on this device."""
    return nullcontext() if where.type == "cpu" else where


def outputs(
    network: Any, arrays: Callable[[Any], NDArray[Any]], items: Sequence[Any] | NDArray[Any], size: int
) -> NDArray[np.float32]:
    """Run a network on items in batches, on the device of `device()`; returns its outputs in order, `(n, …) float32`.

    Args:
        network: Maps `(batch, …)` tensors to `(batch, …)`, in evaluation mode.
        arrays: Makes the input array of a batch of items.
        items: At least one item.
        size: Items of a batch on a processor. On a GPU a batch is `ON_A_GPU` times as large, and is halved each time that the
            memory does not suffice.
    """
    import torch

    where, start, parts = device(), 0, list[NDArray[np.float32]]()
    network.to(where)
    size *= ON_A_GPU if where.type == "cuda" else 1
    while start < len(items):
        batch = torch.from_numpy(arrays(items[start : start + size]))
        try:
            with torch.inference_mode(), placed(where):
                parts.append(network(batch.to(where)).float().cpu().numpy())
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = max(1, size // 2)
            torch.cuda.empty_cache()
        else:
            start += size
    return np.concatenate(parts)


def has_bfloat16(where: "torch.device | None" = None) -> bool:
    """Whether large networks run faster in bfloat16 than in float32 on a device, by default the processor.

    On x86 this needs AMX tiles, with which it is several times faster: with AVX-512 alone it is slower (torch 2.13.0, where
    products of 4096 x 384 by 384 x 1536 reach 68 GFLOP/s on one core in bfloat16 and 111 in float32).
    """
    import torch

    if where is not None and where.type == "cuda":
        return bool(torch.cuda.get_device_capability(where) >= (8, 0))  # Ampere and later
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    return platform.machine().lower() not in ("x86_64", "amd64") or bool(torch.cpu._is_amx_tile_supported())


def has_tiles() -> bool:
    """Whether the processor has AMX tiles, which make bfloat16 several times faster; does not import torch."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return any("amx_bf16" in line.split() for line in lines if line.startswith("flags"))
    except OSError:
        return False
