"""The committee: what its members see, what they share, and that each answers as it does alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import BundleError, DataError, OptionError
from flawscope.methods.committee import Committee
from flawscope.methods.committee.frames import ResizedPictures
from flawscope.methods.committee.learning import for_member, for_members
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.detector import Detector, Learnt
from flawscope.methods.fit_once import fit_once
from flawscope.methods.padim import PaDiM
from flawscope.methods.registry import create
from flawscope.methods.running import score
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.run import Checkpoints, Run, write_tensors
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.engines import Precision, Shape
from flawscope.runtime.images import load
from flawscope.runtime.manifest import StageSpec
from flawscope.runtime.pipeline import Graphs, Pipeline
from flawscope.training.export import export
from flawscope.training.parity import parity
from zoo import ZOO

from .conftest import BANKS, NETWORK, PADIM, PARTS, SEGAD, SMALLER, committee


def _alone(owner: Committee, data: TrainingData, place: int) -> Detector:
    """A member by itself, on what it sees in the committee."""
    fresh = {str(spec.name): create(spec.method, spec.options) for spec in owner.options.members}
    given, _ = for_members(data, fresh, owner.options.scaled)
    name = owner.names[place]
    return fresh[name].fit(given[name], Run())


def test_members_answer_as_they_do_alone(shared: Committee, data: TrainingData, tests: Pictures) -> None:
    together = score(shared, tests, Run())
    for place, name in enumerate(shared.names):
        alone = score(_alone(shared, data, place), tests, Run())
        np.testing.assert_allclose(together["raw_scores"][:, place], alone["score"], rtol=1e-4, atol=1e-4)
        if name == "csad":
            np.testing.assert_array_equal(together["csad.components"], alone["components"])
    np.testing.assert_allclose(together["score"], together["members"].max(1), rtol=1e-6)


def test_levels_are_also_of_what_scales_a_member_and_no_other_learns_from(
    shared: Committee, data: TrainingData
) -> None:
    members = dict(zip(shared.names, shared.members, strict=True))
    given, apart = for_members(data, members, 0.25)
    scaling = given["csad"].tuning
    assert [sample.path for sample in apart.samples] == [sample.path for sample in scaling.samples]
    assert len(apart) == round(0.25 * len(data.normal))
    for name, one in given.items():
        learnt = {sample.path for sample in one.normal.samples}
        assert not learnt & {sample.path for sample in apart.samples}
        assert len(learnt) + len(apart) == len(data.normal)
        assert bool(one.tuning) is (name == "csad")
    aside = for_members(data, members, shared.options.scaled)[1]
    assert len(shared.levels.known()) == len(data.tuning) + len(aside)


def test_where_none_scales_itself_or_one_learns_from_it_nothing_is_left(
    data: TrainingData,
) -> None:
    banks = ZOO["joined_banks"][0].new()
    given, apart = for_members(data, {"banks": banks}, 0.25)
    assert (len(given["banks"].normal), len(apart)) == (len(data.normal), 0)
    for taking in ("segad", "sadsem"):
        given, apart = for_members(data, {"banks": banks, taking: ZOO[taking][0].new()}, 0.25)
        assert (len(given["banks"].normal), len(apart)) == (len(data.normal), 0)


def test_members_of_one_network_share_its_pass_and_its_weights(shared: Committee, tests: Pictures) -> None:
    passes: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        forward = Backbone.forward
        patch.setattr(Backbone, "forward", lambda self, x: (passes.append(len(x)), forward(self, x))[1])
        score(shared, tests, Run(), batch=4)
    assert passes == [4]
    stems = [name for name in shared.state_dict() if name.endswith("conv1.0.weight")]
    assert stems == ["members.networks.0.body.conv1.0.weight"]


@pytest.mark.slow
def test_a_score_of_steps_holds_in_engines(shared: Committee, tests: Pictures, tmp_path: Path) -> None:
    pipeline = Pipeline.in_engine(export(shared, tmp_path), "onnxruntime", "fp32")
    (figures,) = parity(shared, [pipeline], tests, Run())
    assert figures.within


def test_a_member_of_another_size_learns_from_what_its_graph_shows_it(
    data: TrainingData, tests: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    forward = PaDiM.forward
    monkeypatch.setattr(PaDiM, "forward", lambda self, x: (seen.append(x), forward(self, x))[1])
    owner = committee(SMALLER).fit(data, Run())
    seen.clear()
    score(owner, tests, Run(), batch=4)
    given = for_member(TrainingData(tests, data.tuning), owner.members[0], 0.1).normal
    assert given.frame.height, given.frame.width == (48, 40)
    np.testing.assert_allclose(seen[0].numpy(), next(given.batches(4)), atol=1e-6)
    outputs = score(owner, tests, Run())
    assert outputs["heatmap"].shape == (4, 64, 64)
    np.testing.assert_array_equal(given[1], given.subset([1])[0])
    assert len(given + given) == 8


def test_pictures_are_resized_as_files_are(tests: Pictures) -> None:
    path = tests.samples[0].path
    small = ResizedPictures(tests.resized(tests.frame), (32, 40))
    whole = tests[0]
    assert small.frame.height == 32
    assert small.hashes() != tests.hashes()
    direct = load(path, small.frame)
    assert np.abs(small[0] - direct).mean() < 0.1 * whole.std()


def test_a_member_that_was_fitted_before_is_taken(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(trained=Checkpoints(tmp_path))
    member = committee(PADIM).members[0]
    fit_once(create("padim", member.options.model_dump()), for_member(data, member, 0.1), run)
    monkeypatch.setattr(PaDiM, "learn", lambda *_: pytest.fail("it is fitted again"))
    committee(PADIM).fit(data, run)


class Itself:
    """A committee's own answers in the place of an engine's, with `more` on its members' scores."""

    name, threads, more = "itself", 1, 0.0
    precision: Precision = "fp32"
    inputs: tuple[str, ...] = ("pixels",)
    shapes: tuple[Shape, ...] = ((None, 3, None, None),)

    def __init__(self, owner: Committee) -> None:
        self.owner = owner

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            answer = self.owner(torch.from_numpy(feeds["pixels"]))
            answer["raw_scores"] = answer["raw_scores"] + self.more
            answer["score"] = self.owner.levels(answer["raw_scores"]).amax(1)
        return {name: values.numpy() for name, values in answer.items()}


def test_an_engine_that_contradicts_a_member_from_the_store_is_refused(
    data: TrainingData, tests: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(trained=Checkpoints(tmp_path / "store"))
    fitted = committee(PARTS).fit(data, run)
    monkeypatch.setattr(CSAD, "learn", lambda *_: pytest.fail("it is fitted again"))
    taken = committee(PARTS).fit(data, run)
    engine = Itself(taken)
    names = tuple(output.name for output in taken.outputs)
    stages = (StageSpec(file="model.onnx", inputs=("pixels",), outputs=names),)
    pipeline = Pipeline(Graphs(tmp_path, stages, taken.outputs, {}), [engine])
    parity(taken, [pipeline], tests, Run())
    engine.more = 9.0
    for owner in (fitted, taken):
        with pytest.raises(BundleError, match="expected what its branches and counts amount to"):
            parity(owner, [pipeline], tests, Run())


def test_a_detector_from_the_store_hands_back_what_its_fit_did(data: TrainingData, tmp_path: Path) -> None:
    class Drawing(PaDiM):
        def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
            super().learn(data, run, watch)
            files = {"a.txt": b"a", "b.txt": lambda path: path.write_bytes(b"b"), "c.txt": b""}
            return Learnt({"count": len(data.normal)}, [{"step": 1, "loss": 0.5}], files)

    member, run = committee(PADIM).members[0], Run(trained=Checkpoints(tmp_path))
    alone = for_member(data, member, 0.1)
    made, kept = (fit_once(Drawing(member.options), alone, run) for _ in range(2))
    assert kept is not made
    assert (kept.learnt.facts, kept.learnt.history) == (made.learnt.facts, made.learnt.history)
    assert kept.learnt.files == {"a.txt": b"a", "b.txt": b"b", "c.txt": b""}
    (stored,) = tmp_path.glob("*.safetensors")
    earlier = load_file(stored)
    write_tensors(stored, {name: value for name, value in earlier.items() if "learnt/" not in name})
    learnt = fit_once(Drawing(member.options), alone, run).learnt
    assert (learnt.facts, learnt.history, learnt.files) == (made.learnt.facts, (), {})


def test_members_never_see_tuning_pictures_but_those_of_their_own(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, TrainingData] = {}
    fit = Detector.fit

    def watched(self: Detector, given: TrainingData, run: Run, watch: Watch = UNWATCHED) -> Any:
        seen[self.name] = given
        return fit(self, given, run, watch)

    monkeypatch.setattr(Detector, "fit", watched)
    owner = committee(PADIM, SEGAD)
    assert (owner.needs().defective, owner.needs().optional) == (2, frozenset({"defective"}))
    owner.fit(data, Run())
    hidden = {sample.path for sample in data.tuning.samples}
    for name in ("padim", "segad"):
        parts = (seen[name].normal, seen[name].tuning)
        assert not hidden & {sample.path for part in parts for sample in part.samples}
    assert len(seen["segad"].normal) == len(seen["segad"].tuning) == 6
    assert seen["segad"].defective is data.defective


def test_sums_join_by_adding(data: TrainingData, tests: Pictures) -> None:
    found = score(committee(PADIM, SMALLER, join="sum").fit(data, Run()), tests, Run())
    np.testing.assert_allclose(found["score"], found["members"].sum(1), rtol=1e-6)


def test_an_engine_that_contradicts_its_members_is_refused(shared: Committee, tests: Pictures) -> None:
    given = {name: values for name, values in score(shared, tests, Run()).items() if values.ndim < 3}
    assert shared.outputs[0].parity == "compared"
    check = shared.hold
    check(given, "an engine")
    with pytest.raises(BundleError, match="scores by an engine: expected what its members' scores amount to"):
        check({**given, "score": given["score"] + 1}, "an engine")
    with pytest.raises(BundleError, match="scores by an engine: expected what its branches and counts"):
        check(
            {
                **given,
                "csad.branches": given["csad.branches"] + 9,
                "csad.counts": 0 * given["csad.counts"] + 9,
            },
            "an engine",
        )


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([], {}, "option 'members' of committee: expected .*at least 1 item"),
        ([{"method": "patchcor"}], {}, 'Did you mean "patchcore"'),
        ([{"method": "committee"}], {}, "members that are no committees themselves"),
        ([PADIM, PADIM], {}, "two are called padim: give one a name"),
        ([{**PADIM, "name": "a b"}], {}, "option 'members.0.name' of committee"),
        ([{**PADIM, "preset": "best"}], {}, 'preset of padim: expected a known name, got "best"'),
        ([{"method": "classifier", "options": NETWORK}], {}, "members with a heatmap; classifier has none"),
        (
            [{"method": "padim", "options": {**NETWORK, "aspect": "pad"}}],
            {},
            "padim at the committee's aspect",
        ),
        ([SMALLER], {"aspect": "pad"}, "smaller at the committee's aspect"),
        ([PADIM], {"join": "product"}, "option 'join' of committee"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    members: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message) as refused:
        committee(*members, **options)
    assert "\n" not in str(refused.value)


def test_needs_of_members_are_the_committees(data: TrainingData) -> None:
    needs = committee(PADIM, PARTS).needs()
    assert needs.whole == "CSAD compares the components of whole pictures (member csad)"
    assert (needs.normal, needs.tuning) == (6, 2)
    annotated = {
        "method": "sadsem",
        "options": {**NETWORK, "segments": {"kind": "instances", "weights": "random"}},
    }
    with pytest.raises(DataError, match="annotated pictures: expected at least 1 with annotated parts"):
        committee(annotated).fit(data, Run())
    known = {**SEGAD, "options": {**SEGAD["options"], "defects": "real"}}
    without = TrainingData(data.normal, data.tuning)
    with pytest.raises(DataError, match="or set defects=synthetic for member segad"):
        committee(known).fit(without, Run())
    few = TrainingData(data.normal.subset(range(5)), data.tuning)
    with pytest.raises(DataError, match="at least 6 good pictures for committee, got 5"):
        committee(PADIM, PARTS).fit(few, Run())


def test_banks_are_not_computed_twice_in_the_presets() -> None:
    for name in ("default", "full"):
        options = Committee.Options(**Committee.presets[name]).resolved()
        assert [spec.name for spec in options.members][:2] == ["joined_banks", "csad"]
        assert options.members[1].options["structure"] is None
        assert options.members[0].options["size"] == [320, 320]
    assert BANKS["method"] == options.members[0].method
