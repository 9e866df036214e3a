"""One picture has one name in results, from whatever folder it is named, and never another picture's."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.errors import InputError
from flawscope.files import sha256
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.prediction import Decision, Prediction
from flawscope.runtime.record import Record
from flawscope.station.audit import audit
from flawscope.station.inspection import inspect_pictures
from flawscope.station.part import part_of
from flawscope.station.picture import Inspected
from flawscope.station.results import Results, read_records
from flawscope.station.reviews import review
from flawscope.station.states import file_state
from flawscope.station.store import STORE
from recorded import MODEL

OK = Prediction(1.0, 0.5, Decision.ACCEPT)
Inspect = Callable[..., list[str]]


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch) -> Inspect:
    """Inspects pictures by name from a working folder, and gives the names of those that it had to."""

    def inspect(here: Path, *names: str | Path, out: str | Path = "../out") -> list[str]:
        monkeypatch.chdir(here)
        paths, done = list(map(Path, names)), list[str]()
        with Results(Path(out), model=MODEL) as results:
            for path in (*results.new(paths), *results.changed(paths)):
                digest = sha256(path)
                record = Record.of(path, OK, state=file_state(path), model=MODEL.identity, picture=digest)
                results.add(Inspected(record))
                done.append(str(path))
        return done

    return inspect


def line(root: Path, name: str, *pictures: str) -> Path:
    """A working folder with pictures in `pics`; each is told from those of other lines by its bytes."""
    for picture in pictures or ("a.png", "b.png"):
        path = root / name / "pics" / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{name} {picture}".encode())
    return root / name


def names(out: Path) -> list[str]:
    return [record.path for record in read_records(out)]


def forget_folder(out: Path) -> None:
    """Leave the store as earlier versions wrote it."""
    with contextlib.closing(sqlite3.connect(out / STORE)) as base, base:
        (number,) = base.execute("SELECT seq FROM chain WHERE kind = 'folder'").fetchone()
        base.execute("DELETE FROM chain WHERE seq = ?", (number,))


def test_pictures_of_one_name_in_two_working_folders_are_two(tmp_path: Path, inspect: Inspect) -> None:
    first, second = line(tmp_path, "line1"), line(tmp_path, "line2")
    both = ["pics/a.png", "pics/b.png"]
    assert [inspect(first, *both), inspect(second, *both)] == [both, both]
    assert names(tmp_path / "out") == [*both, "../line2/pics/a.png", "../line2/pics/b.png"]
    assert [inspect(place, *both) for place in (first, second)] == [[], []]
    (second / "pics/a.png").write_bytes(b"replaced")
    assert [inspect(first, *both), inspect(second, *both)] == [[], both[:1]]
    found = audit(tmp_path / "out", pictures=True)
    assert (found.whole, found.changed, found.gone) == (True, [], 0)


def test_a_picture_has_one_name_however_it_is_named(tmp_path: Path, inspect: Inspect) -> None:
    here = line(tmp_path, "line1")
    (tmp_path / "way").symlink_to(tmp_path)
    ways = ["pics/a.png", "../line1/pics/a.png", here / "pics/a.png", tmp_path / "way/line1/pics/a.png"]
    for number, first in enumerate(ways[:3]):
        out = tmp_path / str(number)
        assert inspect(here, first, out=out) == [str(first)]
        assert inspect(here, *ways, out=out) == []
        assert inspect(tmp_path, "line1/pics/a.png", "way/line1/pics/a.png", out=out) == []
        assert names(out) == [ways[0] if number == 1 else str(first)]
    assert inspect(here, here / "pics/a.png", "pics/b.png") == [str(here / "pics/a.png"), "pics/b.png"]
    assert inspect(here, *ways, here / "pics/b.png") == []


def test_bare_names_are_known_in_full_too(tmp_path: Path, inspect: Inspect) -> None:
    here = line(tmp_path, "line1") / "pics"
    inspect(here, "a.png", out=tmp_path / "out")
    assert inspect(tmp_path, here / "a.png", here / "b.png", out="out") == [str(here / "b.png")]
    assert names(tmp_path / "out") == ["a.png", "b.png"]


def test_a_shell_in_a_folder_that_a_link_leads_to_means_its_pictures(
    tmp_path: Path, inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = line(tmp_path, "line1")
    (tmp_path / "way").symlink_to(tmp_path)
    inspect(here, tmp_path / "way/line1/pics/a.png")
    monkeypatch.setenv("PWD", str(tmp_path / "way/line1"))
    assert inspect(here, "pics/a.png", here / "pics/a.png") == []


def test_a_link_out_of_the_working_folder_is_one_way_to_its_pictures(
    tmp_path: Path, inspect: Inspect
) -> None:
    here, store = line(tmp_path, "line1"), line(tmp_path, "store")
    (here / "today").symlink_to(store / "pics")
    inspect(here, "today/a.png")
    assert inspect(here, here / "today/a.png", store / "pics/b.png", "today/../../line1/pics/b.png") == [
        str(store / "pics/b.png"),
        "today/../../line1/pics/b.png",
    ]
    assert names(tmp_path / "out") == ["today/a.png", "today/b.png", "pics/b.png"]


@pytest.mark.parametrize("earlier", [False, True], ids=["", "by an earlier version"])
@pytest.mark.parametrize("moved", ["all", "results", "pictures"])
def test_what_was_moved_is_known_again(tmp_path: Path, inspect: Inspect, moved: str, earlier: bool) -> None:
    root, both = tmp_path / "here", ["pics/a.png", "pics/b.png"]
    here, away = line(root, "line1"), tmp_path / "there"
    inspect(here, *both)
    inspect(line(root, "line2"), "pics/a.png")
    if earlier:
        forget_folder(root / "out")
    away.mkdir()
    if moved == "all":
        shutil.copytree(root, away, dirs_exist_ok=True)  # with other times, as by many ways to copy
        for path in (away / "line1/pics").iterdir():
            shutil.copystat(root / "line1/pics" / path.name, path)
        shutil.rmtree(root)
        here, out = away / "line1", away / "out"
    elif moved == "results":
        out = (root / "out").rename(away / "out")
    else:
        here, out = here.rename(away / "line1"), root / "out"
    for _ in range(2):
        assert inspect(here, *both, out=out) == []
    assert names(out) == [*both, "../line2/pics/a.png"]


def test_results_that_are_moved_beside_another_line_are_not_of_it(tmp_path: Path, inspect: Inspect) -> None:
    monday, tuesday = (line(tmp_path / day, "line1", f"{day}.png", "a.png") for day in ("monday", "tuesday"))
    (tuesday / "pics/a.png").write_bytes(b"another")
    inspect(monday, "pics/a.png")
    (tmp_path / "monday/out").rename(tmp_path / "tuesday/out")
    assert inspect(tuesday, "pics/a.png") == ["pics/a.png"]
    assert names(tmp_path / "tuesday/out") == ["pics/a.png", "../../tuesday/line1/pics/a.png"]


@pytest.mark.parametrize("gone", [False, True])
def test_results_of_an_earlier_version_keep_the_records_of_another_folder(
    tmp_path: Path, inspect: Inspect, gone: bool
) -> None:
    first, second = line(tmp_path, "line1"), line(tmp_path, "line2")
    inspect(first, "pics/a.png")
    forget_folder(tmp_path / "out")
    if gone:
        shutil.rmtree(first)
    for expected in (["pics/a.png"], []):
        assert inspect(second, "pics/a.png") == expected
    assert names(tmp_path / "out") == ["pics/a.png", str(second / "pics/a.png")]
    if not gone:
        assert inspect(first, "pics/a.png") == []


def test_two_inspections_that_began_together_keep_each_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [line(tmp_path, name) for name in ("line1", "line2")]
    opened = list[Results]()
    for place in places:
        monkeypatch.chdir(place)
        opened.append(Results(tmp_path / "out", model=MODEL))
    for place, results in zip(places, opened, strict=True):
        monkeypatch.chdir(place)
        path = Path("pics/a.png")
        assert list(results.new([path])) == [path]
        results.add(Inspected(Record.of(path, OK, state=file_state(path), model=MODEL.identity)))
        assert list(results.new([path])) == []
        results.close()
    assert names(tmp_path / "out") == ["pics/a.png", "../line2/pics/a.png"]


def test_a_part_is_found_from_every_folder_and_never_taken_for_another(
    tmp_path: Path, inspect: Inspect
) -> None:
    first, second = line(tmp_path, "line1"), line(tmp_path, "line2")
    out = tmp_path / "out"
    for place in (first, second):
        inspect(place, "pics/a.png")
    with pytest.raises(InputError, match=f"that 2 of them have. Name it in full, or as from {first}"):
        review(out, "pics/a.png", "good")  # that of line1 as results.csv has it, or the one here
    assert review(out, str(second / "pics/a.png"), "good").path == "../line2/pics/a.png"
    for name in (str(first / "pics/a.png"), "../line1/pics/a.png"):
        part = part_of(out, name)
        assert (part.record.path, part.file) == ("pics/a.png", "same")


def test_an_inspection_keeps_records_and_overlays_of_two_working_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = Inspector.load(save_model(tmp_path / "model"), engine="onnxruntime", threads=1)
    emitted, said, tried = list[str](), list[str](), list[Path]()
    for name, level in (("line1", 90), ("line2", 240)):
        here = line(tmp_path, name, "broken.png")
        Image.fromarray(np.full((24, 24), level, np.uint8)).save(here / "pics/a.png")
        monkeypatch.chdir(here)
        summary = inspect_pictures(
            inspector,
            [Path("pics/a.png"), Path("pics/broken.png"), Path("pics/absent.png")],
            out=tmp_path / "out",
            overlays="all",
            emit=lambda record: emitted.append(record.path),
            again=tried.append,
        )
        said.append(summary.names)
    kept = ["pics/a.png", "pics/broken.png", "pics/absent.png"]
    assert emitted == names(tmp_path / "out") == [*kept, *(f"../line2/{name}" for name in kept)]
    assert len(list((tmp_path / "out/overlays").rglob("a.*.png"))) == 2
    assert said == [
        "",
        f"Names in {tmp_path / 'out'} are read from {tmp_path / 'line1'}, where these results began.",
    ]
    assert tried == [Path("pics/absent.png")] * 2  # as it was named, for a watched folder
