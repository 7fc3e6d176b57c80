"""Dagster asset checks on label tasks, annotations, labels and datasets, which run before a model is trained."""

import dagster as dg

from ml_assets.labeling.settings import LabelingSettings
from ml_assets.labeling.watch import read
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.tasks import InvalidLabel

ENOUGH = 20
"""Number of samples with several answers below which there is no verdict on how far annotators agree."""


def labeling_checks(project: str, settings: LabelingSettings) -> list[dg.AssetChecksDefinition]:
    """The Dagster asset checks of the labeling stage."""

    @dg.asset_check(asset=key(project, "label_tasks"), blocking=True)
    def one_task_each(workspace: Workspace) -> dg.AssetCheckResult:
        """No two samples share a Label Studio task, every sample of the queue has one, and none came with its label."""
        store = workspace.store(project)
        table = store.table("label_tasks").read(["id", "task_id", "pushed_at"], "task_id IS NOT NULL")
        tasks = table["task_id"].to_pylist()
        given = store.table("given_labels").read(["sample_id", "at"]).to_pylist()
        pushed = dict(zip(table["id"].to_pylist(), table["pushed_at"].to_pylist(), strict=True))
        known = [row["sample_id"] for row in given if row["sample_id"] in pushed and row["at"] < pushed[row["sample_id"]]]
        open_ = store.table("label_tasks").count("task_id IS NULL")
        passed = len(tasks) == len(set(tasks)) and not known and open_ == 0
        return dg.AssetCheckResult(
            passed=passed,
            metadata={
                "tasks": len(tasks),
                "shared": len(tasks) - len(set(tasks)),
                "of labelled samples": len(known),
                "open": open_,
            },
        )

    def as_it_was(noun: str) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=key(project, noun), name=f"{noun}_label_studio_is_as_it_was")
        def unchanged(workspace: Workspace) -> dg.AssetCheckResult:
            """Nobody changed settings, accounts, projects or storages in Label Studio since the last check."""
            seen = read(workspace.store(project))
            told = seen.told.get(noun, []) if seen else []
            return dg.AssetCheckResult(
                passed=not told,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(told) or "nothing was changed",
                metadata={"changes": len(told)},
            )

        return unchanged

    @dg.asset_check(asset=key(project, "suggestions"))
    def test_samples_show_none(workspace: Workspace) -> dg.AssetCheckResult:
        """No task of a test sample shows a model's prediction, which would influence the labels that models are measured by."""
        store = workspace.store(project)
        shown = store.table("label_tasks").ids("predicted IS NOT NULL")
        of_test = shown & store.table("samples").ids("split = 'test'")
        said = f"{len(of_test)} tasks of test samples show what a model says" if of_test else f"{len(shown)} tasks show it"
        return dg.AssetCheckResult(
            passed=not of_test, description=said, metadata={"shown": len(shown), "of test": len(of_test)}
        )

    @dg.asset_check(asset=key(project, "annotations"))
    def known_classes(workspace: Workspace) -> dg.AssetCheckResult:
        """Every answer is one that the task allows; others, such as of renamed or removed classes, do not count as labels."""
        values = set(workspace.store(project).table("annotations").read(["value"], "deleted = false")["value"].to_pylist())
        wrong = []
        for value in sorted(values):
            try:
                settings.task.parse(value)
            except InvalidLabel as error:
                wrong.append(str(error))
        severity = dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=not wrong, severity=severity, description="; ".join(wrong) or "all are known")

    @dg.asset_check(asset=key(project, "labels"))
    def annotators_agree(workspace: Workspace) -> dg.AssetCheckResult:
        """Fewer than one in ten samples with answers by several people or sources are in conflict."""
        table = workspace.store(project).table("labels")
        conflicts, compared = table.count("conflict = true"), table.count("annotators > 1 OR conflict = true")
        share = conflicts / compared if compared else 0.0
        said = f"{conflicts} of {compared} samples with several answers are in conflict"
        if not compared:
            said = "too few: no sample has several answers; `annotators: 2` of the labeling stage asks two people"
        elif compared < ENOUGH:
            said = f"too few: {compared} of {ENOUGH} samples with several answers, {conflicts} of them in conflict"
        return dg.AssetCheckResult(
            passed=share < 0.1 and compared >= ENOUGH,
            severity=dg.AssetCheckSeverity.WARN,
            description=said,
            metadata={"conflicts": conflicts, "compared": compared, "share": share},
        )

    @dg.asset_check(asset=key(project, "dataset"), blocking=True)
    def samples_exist(workspace: Workspace) -> dg.AssetCheckResult:
        """The dataset is not empty, and every row is an existing sample in that sample's split."""
        store = workspace.store(project)
        tag = store.table("dataset").tags()[-1]
        rows = store.table("dataset").read(["id", "split"], tag=tag).to_pylist()
        splits = dict(zip(*(store.table("samples").read(["id", "split"])[c].to_pylist() for c in ("id", "split")), strict=True))
        wrong = [row["id"] for row in rows if splits.get(row["id"]) != row["split"]]
        said = f"{len(rows)} labelled samples" if rows else "nothing is labelled yet: tasks wait in Label Studio"
        return dg.AssetCheckResult(
            passed=bool(rows) and not wrong,
            description=f"{len(wrong)} samples are not in their split" if wrong else said,
            metadata={"rows": len(rows), "wrong": len(wrong)},
        )

    watched = [as_it_was("label_tasks"), as_it_was("annotations")]
    return [one_task_each, *watched, test_samples_show_none, known_classes, annotators_agree, samples_exist]
