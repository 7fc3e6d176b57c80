"""How torch uses the processor."""

import os
import platform


def limit_threads() -> None:
    """Give torch `ML_ASSETS_TORCH_THREADS` threads, one by default.

    Several threads wait for each other and collapse on a busy machine; one does the same work per core and never does.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("ML_ASSETS_TORCH_THREADS") or 1))


def has_bfloat16() -> bool:
    """Whether the processor computes large networks faster in bfloat16 than in float32.

    On x86 that takes AMX tiles, with which it is several times faster: with AVX-512 alone it is slower (torch 2.13.0, where
    products of 4096 x 384 by 384 x 1536 reach 68 GFLOP/s on one core in bfloat16 and 111 in float32).
    """
    import torch

    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    return platform.machine().lower() not in ("x86_64", "amd64") or bool(torch.cpu._is_amx_tile_supported())
