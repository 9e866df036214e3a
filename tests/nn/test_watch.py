"""A run travels as plain values; who watches it stays here."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.errors import Stopped
from flawscope.nn.banks.preflight import seconds_a_picture
from flawscope.nn.run import Checkpoints, Run, full_float32
from flawscope.nn.training.loop import Loop
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.images import Frame


def test_a_run_is_plain_and_travels(tmp_path: Path) -> None:
    run = Run(seed=3, device="cpu", precision="bf16", memory=7, checkpoints=Checkpoints(tmp_path))
    sent = pickle.loads(pickle.dumps(run))  # noqa: S301 - our own
    assert sent == run
    assert torch.equal(torch.rand(2, generator=sent.generator(1)), torch.rand(2, generator=run.generator(1)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.seed = 4  # type: ignore[misc]


def test_a_stop_names_the_folder_that_keeps_the_work(tmp_path: Path) -> None:
    UNWATCHED.check_stop(Run())
    watch, said = Watch(), list[str]()
    watch.stop.set()
    run = Run(checkpoints=Checkpoints(tmp_path))
    run.checkpoints.save("steps", {"done": torch.tensor(3)})
    with pytest.raises(Stopped, match=rf"go on\. Progress is kept in {tmp_path}\.$"):
        watch.check_stop(run)
    fold = Run(checkpoints=Checkpoints(tmp_path / "unfinished-1"))
    with pytest.raises(Stopped, match=rf"go on\. Progress is kept in {tmp_path}\.$"):
        watch.check_stop(fold)
    heard = Watch(say=said.append)
    heard.wordless().say("again")
    heard.say("once")
    assert said == ["once"]


@pytest.mark.parametrize("content", [None, "", "patches"])
def test_a_stop_names_no_folder_that_keeps_nothing(content: str | None, tmp_path: Path) -> None:
    """PatchCore makes the folder before it has chosen any patch."""
    if content is not None:
        (tmp_path / "kept").mkdir()
    if content:
        (tmp_path / "kept" / content).write_bytes(b"half")
    watch = Watch()
    watch.stop.set()
    with pytest.raises(Stopped, match=r"Run the same command again\.$"):
        watch.check_stop(Run(checkpoints=Checkpoints(tmp_path / "kept")))


def test_pictures_come_in_batches_until_a_stop(tmp_path: Path) -> None:
    samples = []
    for level in range(5):
        Image.new("RGB", (6, 4), (level, 0, 0)).save(tmp_path / f"{level}.png")
        samples.append(Sample(tmp_path / f"{level}.png", "train", defective=False))
    pictures, watch = PictureFiles(samples, Frame(4, 6)), Watch()
    found = list(batches(pictures, Run(), watch, "reading", 2))
    assert [len(pixels) for pixels in found] == [2, 2, 1]
    assert torch.equal(torch.cat(found)[4], torch.from_numpy(pictures[4]))
    reading = batches(pictures, Run(), watch, "reading", 2)
    next(reading)
    watch.stop.set()
    with pytest.raises(Stopped):
        next(reading)


def test_asking_for_the_device_changes_no_setting_and_a_context_gives_it_back() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = True
    try:
        Run().torch_device()
        assert torch.backends.cudnn.allow_tf32
        with full_float32():
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
    assert torch.get_float32_matmul_precision() == before[1]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_network_is_frozen_and_in_its_own_order_after_training(stopped: bool) -> None:
    network, watch = nn.Conv2d(3, 4, 3).requires_grad_(False).eval(), Watch()
    seen: list[tuple[bool, bool]] = []

    def step(number: int) -> dict[str, Tensor]:
        if stopped:
            watch.stop.set()
        seen.append((network.training, network.weight.is_contiguous(memory_format=torch.channels_last)))
        return {"total": network(torch.ones(1, 3, 5, 5)).square().mean()}

    loop = Loop("n", 3, network, torch.optim.SGD(network.parameters(), 0.1), Run(), watch, step)
    if stopped:
        with pytest.raises(Stopped):
            loop.go()
    else:
        assert [entry["step"] for entry in loop.go()] == [1, 2, 3]
    assert seen == [(True, True)] * (1 if stopped else 3)
    assert not network.training
    assert not network.weight.requires_grad
    assert network.weight.is_contiguous()


def test_a_probe_of_a_network_leaves_it_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert seconds_a_picture(network, (8, 8)) > 0
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
