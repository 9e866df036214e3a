"""Groups of pictures: by patterns, tables and layouts, and what cannot make any."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flawscope.data.groups import GroupChoice, group, group_dataset, grouped_by, spanning
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError, OptionError
from flawscope.runtime.group_pattern import compiled


def samples(*names: str, root: str = "/data/good") -> list[Sample]:
    return [Sample(Path(root) / name, "train", defective=False) for name in names]


def found(names: list[str], text: str, root: Path | None = None) -> list[str | None]:
    return [one.group for one in group(samples(*names), GroupChoice.parse(text), root).samples]


VIEWS = ["part001_a.png", "part001_b.png", "part002_a.png", "other.png"]


def test_the_first_capture_group_or_the_whole_match_names_the_group():
    assert found(VIEWS, r"part(\d+)_") == ["001", "001", "002", None]
    assert found(VIEWS, r"part\d+") == ["part001", "part001", "part002", None]
    assert found(VIEWS, r"part(\d)(\d+)|other") == ["0", "0", "0", None]


def test_a_pattern_with_a_slash_looks_at_the_path_below_the_data_set():
    names = ["day1/p1_a.png", "day1/p1_b.png", "day2/p1_a.png"]
    assert found(names, r"(day\d/p\d+)_", Path("/data")) == ["day1/p1", "day1/p1", "day2/p1"]
    assert found(names, r"^good/(day\d)/", Path("/data")) == ["day1", "day1", "day2"]


def test_pictures_that_nothing_matches_count_by_themselves_and_are_told():
    grouping = group(samples(*VIEWS), GroupChoice.parse(r"part(\d+)_"))
    assert grouping.alone == 1
    assert grouping.said == (
        r"Groups by part(\d+)_: 3 pictures of 2 parts, 1 to 2 of each; "
        "1 pictures are in none and count each by itself."
    )


def test_nothing_chosen_keeps_the_layouts_and_none_drops_them():
    views = [Sample(Path(f"{n}.png"), "train", defective=False, group=f"p{n // 2}") for n in range(6)]
    kept = group(views, None)
    assert list(kept.samples) == views
    assert kept.said == "Groups by the layout: 6 pictures of 3 parts, 2 of each."
    assert grouped_by(None, views) == "layout"
    dropped = group(views, GroupChoice.parse("none"))
    assert [one.group for one in dropped.samples] == [None] * 6
    assert dropped.said == ""
    assert grouped_by(GroupChoice(), dropped.samples) == ""
    assert group(samples(*VIEWS), None).said == ""


def test_text_and_recipe_say_the_same():
    assert GroupChoice.parse(r"part(\d+)_") == GroupChoice(pattern=r"part(\d+)_")
    table = GroupChoice.parse(r"C:\lists\parts.CSV:part no")
    assert (str(table.table), table.column) == (r"C:\lists\parts.CSV", "part no")
    for text in (r"part(\d+)_", "parts.csv:part", "none"):
        assert GroupChoice.parse(str(GroupChoice.parse(text))) == GroupChoice.parse(text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("parts.csv", "a table and its column"),
        ({"table": "parts.csv"}, "a table and its column"),
        ({"column": "part"}, "a table and its column"),
        ({"table": "parts.csv", "column": "part", "pattern": "x"}, "a pattern or a table"),
        ("part(", "a regular expression"),
        ("", "1 to 200 characters"),
        ("x" * 201, "1 to 200 characters"),
        (r"(\d+)*_", "a pattern whose time is bounded"),
        (r"(a|aa)+_", "a pattern whose time is bounded"),
        (r"(a?){40}a{40}", "a pattern whose time is bounded"),
        (r".*.*.*.*x", "a pattern whose time is bounded"),
        (r"(\d)\1", "a pattern whose time is bounded"),
        (r"\d*", "a pattern that some names do not hold"),
    ],
)
def test_what_can_make_no_groups_is_refused_at_once(values, expected):
    with pytest.raises(OptionError) as caught:
        GroupChoice.model_validate(values)
    assert caught.value.expected == expected
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pattern", [r"(.+)_[a-z]\.png", r"(?:_(\d+))?x", r"(?i)PART(\d+)", r"[]*+]+(b\+)x", r"(?P<part>\d{3,})"]
)
def test_plain_patterns_are_taken(pattern):
    assert compiled(pattern).pattern == pattern


@given(st.text("a(|)*+?{}2,\\[]x.", max_size=12))
def test_any_text_is_a_pattern_that_ends_soon_or_an_error(text):
    try:
        expression = compiled(text)
    except OptionError:
        return
    expression.search("a" * 60)


def test_a_pattern_must_be_found_and_must_part():
    with pytest.raises(OptionError, match=r"found in none of 4, such as part001_a.png"):
        found(VIEWS, r"piece(\d+)")
    assert found(VIEWS[:2], r"part(\d+)_") == ["001", "001"]  # further views of one known part
    views = Dataset("parts", "plain", Path("/data"), tuple(samples(*VIEWS[:3])))
    with pytest.raises(OptionError, match=r"all 3 pictures in one, part"):
        group_dataset(views, GroupChoice.parse("part"))


def table(folder: Path, text: str, name: str = "parts.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return f"{folder / name}:part"


def test_a_table_names_pictures_by_name_by_the_end_of_their_path_or_whole(tmp_path):
    names = ["a.png", "day1/b.png", "day2/b.png", "c.png"]
    text = (
        "picture;part;shift\na.png;7;x\nday1\\b.png;7;x\n./day2/b.png;8;y\n/elsewhere/c.png;9;y\nz.png;9;y\n"
    )
    assert found(names, table(tmp_path, text)) == ["7", "7", "8", None]
    assert found(names, table(tmp_path, "path,part\n/data/good/c.png,3\na.png,\n")) == [None, None, None, "3"]


def test_a_table_with_blanks_in_its_header_and_names_from_a_mac(tmp_path):
    apart = unicodedata.normalize("NFD", "Grün.png")
    assert found([apart, "a.png"], table(tmp_path, "picture , part\ntag/Grün.png, 7\na.png, 8\n")) == [
        None,
        "8",
    ]
    assert found([f"tag/{apart}"], table(tmp_path, "picture , part\ntag/Grün.png, 7\n")) == ["7"]
    assert found(["Grün.png"], table(tmp_path, f"picture, part\n{apart}, 7\n")) == ["7"]


def test_a_table_in_another_encoding_names_the_line(tmp_path):
    (tmp_path / "parts.csv").write_bytes("picture,part\na.png,1\nGrün.png,2\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"line 3: expected UTF-8 text, got other bytes\. Save it as UTF-8"):
        found(["a.png"], f"{tmp_path / 'parts.csv'}:part")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,piece\na.png,1\n", "line 1: expected columns picture, part, got none named part"),
        ("image,part\na.png,1\n", "expected columns picture, part, got none named picture"),
        ("picture,part\nb.png,1\n", "line 2: expected a picture told by its folder too"),
        ("picture,part\na.png,1\na.png,2\n", "line 3: expected one group, '1' as before, got '2'"),
        ("picture,part\nz.png,1\n", "expected groups of some of 3 pictures, such as a.png, got none of them"),
        ("picture,part\n,1\n", "got none of them"),
        ("", "none named picture, part"),
    ],
)
def test_tables_that_tell_nothing_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        found(["a.png", "day1/b.png", "day2/b.png"], table(tmp_path, text))
    with pytest.raises(DataError, match="a readable file"):
        found(["a.png"], f"{tmp_path / 'missing.csv'}:part")


def test_groups_across_training_and_test_are_told():
    views = [
        Sample(Path(f"{split}/part{n}_{n}.png"), split, defective=False)
        for split, numbers in (("train", range(4)), ("test", range(3, 6)))
        for n in numbers
    ]
    dataset, said = group_dataset(
        Dataset("x", "plain", Path(), tuple(views)), GroupChoice.parse(r"part(\d+)")
    )
    assert list(spanning(dataset)) == ["3"]
    assert said[1].startswith("1 groups have pictures in training and in test (3): evaluate leaves out")
