"""Networks compute where `ML_ASSETS_DEVICE` says, and a batch that is too large for the memory is halved."""

from typing import Any

import numpy as np
import pytest
import torch

from ml_assets.compute import device, has_bfloat16, outputs, placed
from ml_assets.errors import InvalidValue

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


@pytest.mark.parametrize("asked", ["", "auto", " Auto "])
def test_a_gpu_is_taken_where_there_is_one(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_DEVICE", asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device() == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device() == torch.device("cpu")


def test_a_certain_gpu_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for asked, there in {"cpu": "cpu", "cuda": "cuda:0", "cuda:1": "cuda:1"}.items():
        monkeypatch.setenv("ML_ASSETS_DEVICE", asked)
        assert device() == torch.device(there)
    monkeypatch.setenv("ML_ASSETS_DEVICE", "cuda:2")
    with pytest.raises(InvalidValue, match="sees only 2 of them: choose cpu or auto"):
        device()


@pytest.mark.skipif(GPUS > 0, reason="a GPU is there")
def test_a_gpu_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_DEVICE", "cuda")
    with pytest.raises(
        InvalidValue, match=r"'cuda', but torch \S+ sees no GPU that it can use: choose cpu or auto, or look at"
    ):
        device()


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "0", "mps"])
def test_a_device_that_is_none_names_the_choices(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_DEVICE", asked)
    with pytest.raises(InvalidValue, match=f"ML_ASSETS_DEVICE is '{asked}': choose auto, cpu, cuda, or a certain GPU"):
        device()


class Small(torch.nn.Module):
    """Doubles its inputs, and has memory for `most` of them at a time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.sizes = most, list[int]()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * batch


def test_a_batch_that_is_too_large_is_halved_and_nothing_is_computed_twice() -> None:
    network, items = Small(3), np.arange(10, dtype=np.float32)
    assert np.array_equal(outputs(network, lambda part: part, items, 8), 2 * items)
    assert network.sizes == [8, 4, 2, 2, 2, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):
        outputs(Small(0), lambda part: part, items, 8)


def test_what_a_network_creates_lies_where_it_computes() -> None:
    def made(where: str) -> Any:
        with placed(torch.device(where)):
            return torch.zeros(2).device.type, torch.rand(2).device.type, torch.arange(2).device.type

    assert made("cpu") == ("cpu",) * 3
    assert made("meta") == ("meta",) * 3


def test_a_gpu_of_before_ampere_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, there in {(7, 5): False, (8, 0): True, (9, 0): True}.items():
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, capability=capability: capability)
        assert has_bfloat16(torch.device("cuda:0")) is there
