"""Whether pictures count as what they are: kinds with doubtful names, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator

from flawscope.data.checks.issues import Issue, found
from flawscope.data.layouts.annotations import masked_kind
from flawscope.data.samples import Dataset, Sample
from flawscope.data.truth import says_bad, says_good, says_otherwise
from flawscope.runtime.listing import HIDDEN, told


def told_of(dataset: Dataset) -> list[str]:
    """How a data set was read, in sentences: each kind with its truth, doubtful ones, what is left out."""
    kinds = dataset.truths()
    lines = [f"{dataset.name}, read as {dataset.layout}: {'; '.join(map(str, kinds)) or 'no pictures'}."]
    lines += [f"Is that right? {issue.message} {issue.fix}" for issue in kind_issues(dataset)]
    return lines + told(one for one in dataset.left_out if one.reason != HIDDEN)


def kind_issues(dataset: Dataset) -> Iterator[Issue]:
    """Kinds whose names, or whose pictures' folders, say something else than what they count as."""
    for kind in dataset.truths():
        if kind.doubtful or (kind.defective and masked_kind(kind.name)):
            samples = [s for s in dataset if s.defective is kind.defective and _name(s) == kind.name]
            truth = "defective" if kind.defective else "good"
            yield found("doubtful-kind", samples, f"{kind.name}: {_count(samples)} as {truth}.")
    for samples, message in _contradicted(dataset):
        yield found("doubtful-kind", samples, message)
    if dataset.select(split="test", defective=True) and not dataset.select(defective=False):
        yield found("no-good", dataset.root, "All pictures count as defective; none is good.")


def left_out_issues(dataset: Dataset) -> Iterator[Issue]:
    """What lies in the data set's folder and is not read, a finding for each reason."""
    for reason in dict.fromkeys(one.reason for one in dataset.left_out):
        group = [one for one in dataset.left_out if one.reason == reason]
        (message,) = told(group)
        rule = "hidden" if reason == HIDDEN else "left-out"
        yield found(rule, [one.path for one in group], message)


def _count(samples: list[Sample]) -> str:
    return "1 picture counts" if len(samples) == 1 else f"{len(samples)} pictures count"


def _name(sample: Sample) -> str:
    return sample.named or sample.kind


def _contradicted(dataset: Dataset) -> Iterator[tuple[list[Sample], str]]:
    """Pictures whose folder or own name contradicts what they count as, and that in a sentence."""
    for truth in ("good", "defective"):
        group = [sample for sample in dataset if sample.defective is (truth == "defective")]
        samples = [sample for sample in group if _elsewhere(dataset, sample)]
        if samples:
            folder = _elsewhere(dataset, samples[0])
            yield samples, f"{_count(samples)} as {truth}, in a folder {folder}."
        samples = [sample for sample in group if _called_otherwise(dataset, sample)]
        if samples:
            such = ", such as" if len(samples) > 1 else ":"
            yield samples, f"{_count(samples)} as {truth}, but called otherwise{such} {samples[0].path.name}."


def _called_otherwise(dataset: Dataset, sample: Sample) -> bool:
    """Real-IAD names views by what their part shows, not by what they show."""
    return dataset.layout != "real_iad" and says_otherwise(sample.path.stem, defective=sample.defective)


def _elsewhere(dataset: Dataset, sample: Sample) -> str:
    """A folder on the way to a picture whose name contradicts its truth; empty where none does.

    Real-IAD keeps good views of a defective part beside the others, so that its folders tell nothing.
    """
    if dataset.layout == "real_iad" or not sample.path.is_relative_to(dataset.root):
        return ""
    contradicts = says_good if sample.defective else says_bad
    folders = sample.path.relative_to(dataset.root).parts[:-1]
    return next((name for name in folders if contradicts(name)), "")
