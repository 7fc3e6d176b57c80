"""How torch uses the processor."""

import os


def limit_threads() -> None:
    """Give torch `ML_ASSETS_TORCH_THREADS` threads, one by default.

    Several threads wait for each other and collapse on a busy machine; one does the same work per core and never does.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("ML_ASSETS_TORCH_THREADS") or 1))


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, with which large networks are about three times faster."""
    import torch

    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
