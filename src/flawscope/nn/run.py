"""What decides one training run: seed, device, precision, memory and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from flawscope.errors import OptionError, OutputError
from flawscope.files import write_with

RunPrecision = Literal["auto", "fp32", "bf16"]
FEATURE_MEMORY = 4 << 30
GROWTH = 0.25
UNFINISHED = "unfinished-"  # begins the names of folders for the work of one detector or fold of several


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save_file  # noqa: PLC0415 - only training needs it

    kept = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_with(path, lambda place: save_file(kept, place))


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """A folder that keeps named tensors of unfinished work, so that training resumes to the same result."""

    folder: Path

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write the tensors atomically in place of what `name` held."""
        write_tensors(self._path(name), tensors)

    def load(self, name: str) -> dict[str, Tensor] | None:
        """The tensors saved under `name`, or None; a damaged file counts as none."""
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.torch import load_file  # noqa: PLC0415

        path = self._path(name)
        if not path.is_file():
            return None
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError):
            return None

    def told(self) -> str:
        """Where unfinished work is kept, as a sentence; empty where there is none yet."""
        folder = self.folder.parent if self.folder.name.startswith(UNFINISHED) else self.folder
        kept = folder.is_dir() and any(folder.rglob("*.safetensors"))
        return f"Progress is kept in {folder}." if kept else ""

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: plain values, which another process or machine may be sent.

    Attributes:
        seed: the only source of randomness; the same seed, data and machine give the same model, on a GPU up
            to rounding, since some of its kernels add in any order.
        device: torch device name.
        precision: number format. `auto` learns by gradient descent in bf16 (with float32 weights) where the
            hardware multiplies it, and extracts features in fp32: a bank of bf16 features cost 2.6 points of
            image AUROC on MVTec screw (benchmarks/README.md). `fp32` and `bf16` hold for both.
        memory: bytes that fit may hold for the features of all pictures; more goes through a temporary file.
        checkpoints: where unfinished work is kept, or None.
        trained: where detectors that others build on are kept once they are trained, for other runs too; None
            keeps them among the checkpoints.
        maps: where maps of frozen networks are kept for further fits that see the same pictures, as those of
            folds do, up to `memory` bytes of them; None: nowhere.
        growth: share of its limit by which a bank may grow where a trained detector is taught more.
        part: share of the good pictures that this fit sees, where others see the rest, as in folds. What a
            detector does only from so many pictures on it does there from that share of them on.
    """

    seed: int = 0
    device: str = "cpu"
    precision: RunPrecision = "auto"
    memory: int = FEATURE_MEMORY
    checkpoints: Checkpoints | None = None
    trained: Checkpoints | None = None
    maps: Checkpoints | None = None
    growth: float = GROWTH
    part: float = 1.0

    def enough(self, count: int, fewest: int) -> bool:
        """Whether there are `fewest` pictures, counted with those that this fit does not see."""
        return round(count / self.part) >= fewest

    def generator(self, *purpose: int) -> torch.Generator:
        """A CPU generator of its own for each purpose, so that adding one draw moves no other."""
        from numpy.random import SeedSequence  # noqa: PLC0415

        state = int(SeedSequence((self.seed, *purpose)).generate_state(1, "uint64")[0])
        return torch.Generator().manual_seed(state & (2**63 - 1))

    def seeded(self, *purpose: int) -> AbstractContextManager[None]:
        """As `seeded`, from the same seed as the generator of that purpose."""
        return seeded(self.generator(*purpose).initial_seed())

    @property
    def feature_dtype(self) -> torch.dtype:
        """The number format of feature extraction."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def training_dtype(self) -> torch.dtype:
        """The number format of products in gradient descent."""
        if self.precision == "auto":
            return torch.bfloat16 if multiplies_bf16(self.torch_device()) else torch.float32
        return self.feature_dtype

    def autocast(self, *, features: bool = False) -> torch.autocast:
        """A context with products in the format of gradient descent, or in that of feature extraction."""
        dtype = self.feature_dtype if features else self.training_dtype
        return torch.autocast(torch.device(self.device).type, dtype, enabled=dtype != torch.float32)

    def torch_device(self) -> torch.device:
        """The device, or an OptionError where this machine lacks it."""
        try:
            device = torch.device(self.device)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise OptionError(
                f"device {self.device!r}",
                expected="a device of this machine",
                got=str(error).splitlines()[0],
                fix='Use "cpu", or "cuda" on a machine with an NVIDIA GPU.',
            ) from error
        return device


@contextmanager
def telling_what_is_kept(run: Run) -> Iterator[None]:
    """Add to the error of a full disk where unfinished work waits for it to have room."""
    try:
        yield
    except OutputError as error:
        kept = run.checkpoints.told() if run.checkpoints else ""
        if not kept:
            raise
        fix = f"{error.fix} {kept} Run the same command again to go on."
        raise OutputError(error.what, expected=error.expected, got=error.got, fix=fix) from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch draws on the CPU as if seeded so; afterwards as if it had drawn nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def seed_of_32_bits(seed: int) -> int:
    """The seed for libraries that take none beyond 32 bits; smaller ones stay as they are."""
    return seed % 2**32


@contextmanager
def full_float32() -> Iterator[None]:
    """Products without the shortcuts (TF32, bfloat16) that the caller may have allowed; also a decorator.

    Float32 means float32: parity with the engines depends on it.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has units for bf16 products that torch's kernels use; asked, never assumed.

    Where oneDNN is kept from a processor's units (`ONEDNN_MAX_CPU_ISA`), a bf16 convolution takes many times
    as long as one in float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    usable = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    if not usable():
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        units = torch.cpu.get_capabilities()
        return bool(units.get("avx512_bf16") or units.get("amx_bf16"))
    older = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(older())
