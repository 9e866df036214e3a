"""A chain of entries tells the first row that was changed, removed or put in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flawscope.runtime import chain
from flawscope.runtime.chain import START, Break, Row

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)  # an engine may flush those
entries = st.dictionaries(texts, st.integers() | texts | numbers)
chains = st.lists(entries, min_size=1, max_size=8)


def made(contents: Sequence[chain.Entry]) -> list[Row]:
    rows: list[Row] = []
    for content in contents:
        rows.append(chain.following(rows[-1] if rows else None, content))
    return rows


def test_the_hash_is_of_the_hash_before_and_the_canonical_entry() -> None:
    expected = hashlib.sha256((START + '{"b":"\\u00e4","c":1}').encode()).hexdigest()
    assert chain.link(START, {"c": 1, "b": "ä"}) == expected
    first = chain.following(None, {"kind": "model"})
    second = chain.following(first, {"kind": "picture"})
    assert (first.number, first.previous, second.number, second.previous) == (1, START, 2, first.hash)


@given(chains)
def test_a_chain_is_whole_as_it_was_written_and_read_again(contents: list[chain.Entry]) -> None:
    assert chain.verify(Row.of_line(row.to_line()) for row in made(contents)) is None


def test_an_empty_chain_is_whole() -> None:
    assert chain.verify([]) is None


@given(chains, st.data())
def test_a_changed_row_is_named(contents: list[chain.Entry], data: st.DataObject) -> None:
    rows = made(contents)
    place = data.draw(st.integers(0, len(rows) - 1))
    row = rows[place]
    changes = [
        Row(row.previous, {**row.entry, "score": "another"}, row.hash),
        Row(row.previous, {**row.entry, "number": row.number + 1}, row.hash),
        Row(row.previous, row.entry, START),
        Row(START[:-1] + "1", row.entry, row.hash),
        Row.of_line("{"),
    ]
    rows[place] = data.draw(st.sampled_from(changes))
    assert chain.verify(rows) == Break(place + 1, "changed")


@given(chains, entries, st.data())
def test_a_changed_row_with_a_hash_made_anew_is_named(
    contents: list[chain.Entry], other: chain.Entry, data: st.DataObject
) -> None:
    rows = made([*contents, {}])
    place = data.draw(st.integers(0, len(rows) - 2))
    forged = chain.following(rows[place - 1] if place else None, {**other, "forged": True})
    rows[place] = forged
    assert chain.verify(rows) == Break(place + 1, "changed")


@given(chains, st.data())
def test_a_removed_row_is_named(contents: list[chain.Entry], data: st.DataObject) -> None:
    rows = made([*contents, {}])
    place = data.draw(st.integers(0, len(rows) - 2))
    del rows[place]
    assert chain.verify(rows) == Break(place + 1, "removed")


@given(chains, entries, st.integers(1, 3), st.data())
def test_rows_put_in_are_named_by_the_first(
    contents: list[chain.Entry], other: chain.Entry, count: int, data: st.DataObject
) -> None:
    rows = made(contents)
    place = data.draw(st.integers(0, len(rows) - 1))
    forged = rows[:place]
    for _ in range(count):
        forged.append(chain.following(forged[-1] if forged else None, {**other, "forged": True}))
    assert chain.verify(forged + rows[place:]) == Break(place + 1, "put in")


@given(chains, st.data())
def test_a_copy_of_an_earlier_row_is_named_by_its_place(
    contents: list[chain.Entry], data: st.DataObject
) -> None:
    rows = made(contents)
    place = data.draw(st.integers(1, len(rows)))
    rows.insert(place, rows[data.draw(st.integers(0, place - 1))])
    assert chain.verify(rows) == Break(place + 1, "put in")


@given(chains, st.data())
def test_the_first_of_two_swapped_rows_is_named(contents: list[chain.Entry], data: st.DataObject) -> None:
    rows = made([*contents, {}])
    first = data.draw(st.integers(0, len(rows) - 2))
    second = data.draw(st.integers(first + 1, len(rows) - 1))
    rows[first], rows[second] = rows[second], rows[first]
    found = chain.verify(rows)
    assert found is not None
    assert found.number == first + 1


def test_rows_cut_off_at_the_end_leave_a_whole_chain() -> None:
    rows = made([{}, {}, {}])
    assert chain.verify(rows[:2]) is None


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_a_row_with_a_number_that_json_cannot_hold_was_changed(number: str) -> None:
    line = chain.following(None, {"score": 1}).to_line()
    assert (
        str(chain.verify([chain.Row.of_line(line.replace('"score":1', f'"score":{number}'))]))
        == "row 1 was changed"
    )


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        chain.following(None, {"score": float("nan")})


@pytest.mark.parametrize("line", ["", "[]", "null", '{"previous":1,"entry":{},"hash":""}', "[" * 100_000])
def test_what_is_no_row_is_one_that_is_not_whole(line: str) -> None:
    assert not Row.of_line(line).whole
