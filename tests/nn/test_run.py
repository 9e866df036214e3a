"""What a run lends to training: random numbers, number formats and memory."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import pytest
import torch

from flawscope.errors import OptionError
from flawscope.nn import memory
from flawscope.nn.memory import budget, memory_kept, require_memory
from flawscope.nn.run import Run, seeded


def test_seeded_draws_repeat_and_leave_no_trace() -> None:
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), untouched)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)
    with seeded(2):
        assert not torch.equal(torch.rand(3), first)


def test_a_runs_seeds_differ_by_purpose_and_follow_its_generators() -> None:
    drawn = []
    for purpose in ((1,), (2,), (1, 2)):
        with Run(seed=3).seeded(*purpose):
            drawn.append(torch.rand(3))
        assert torch.equal(drawn[-1], torch.rand(3, generator=Run(seed=3).generator(*purpose)))
    assert len({tuple(each.tolist()) for each in drawn}) == 3


@pytest.mark.parametrize(
    ("precision", "features", "expected"),
    [("fp32", False, torch.float32), ("bf16", False, torch.bfloat16), ("auto", True, torch.float32)],
)
def test_autocast_multiplies_in_the_runs_format(
    precision: Any, features: bool, expected: torch.dtype
) -> None:
    square = torch.rand(4, 4)
    with Run(precision=precision).autocast(features=features):
        assert (square @ square).dtype == expected


@pytest.mark.parametrize("usable", [True, False])
def test_auto_learns_in_bf16_only_where_torchs_kernels_use_the_units(
    monkeypatch: pytest.MonkeyPatch, usable: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: usable, raising=False)
    square = torch.rand(4, 4)
    with Run(device="cpu").autocast():
        assert (square @ square).dtype == (torch.bfloat16 if usable else torch.float32)


def test_budget_is_the_runs_limit_and_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, expected in ((None, 1000), (5000, 1000), (500, 250)):
        monkeypatch.setattr(memory, "available_bytes", lambda free=free: free)
        assert budget(Run(memory=1000)) == budget(Run(memory=1000), on_device=True) == expected


def test_what_cannot_fit_is_refused_in_gib() -> None:
    for available in (None, 3 << 30):
        require_memory(3 << 30, available, what="bank", got="3.0 GiB", fix="Buy some.")
    with pytest.raises(OptionError, match=r"bank: expected at most 1\.5 GiB of memory, got 3\.0 GiB\. Buy"):
        require_memory(3 << 30, 3 << 29, what="bank", got="3.0 GiB", fix="Buy some.")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="memory is glibc's to give"
)
def test_memory_kept_comes_without_new_pages_and_goes_back_afterwards() -> None:
    """In a process of its own: what other tests left on the heap decides how much of it is reused."""
    command = [sys.executable, "-c", _PAGES]
    counted = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own text
    outside, within, kept, after = map(int, counted.split())
    assert within < outside / 2  # a small block between may move one of ten
    assert after < kept - outside / 20  # half of one block at least


_PAGES = """
import resource
from pathlib import Path
import torch
from flawscope.nn.memory import memory_kept

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(1 << 24)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

outside = pages()
with memory_kept():
    pages()
    within, kept = pages(), resident()
print(outside, within, kept, resident())
"""


def test_memory_kept_leaves_no_low_threshold_where_an_older_glibc_refuses_a_high_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thresholds = {-1: 128 << 10, -3: 128 << 10}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD

    class Older:
        """As a glibc that maps every block above 32 MiB."""

        def mallopt(self, threshold: int, value: int) -> int:
            if threshold == -3 and value > 32 << 20:
                return 0
            thresholds[threshold] = value
            return 1

        def malloc_trim(self, pad: int) -> int:
            return pad

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Older())
    with memory_kept():
        assert thresholds == {-1: 2**31 - 1, -3: 32 << 20}
    assert thresholds == {-1: 64 << 20, -3: 32 << 20}
