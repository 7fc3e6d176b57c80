"""What must hold of labels and datasets before anything is learnt from them."""

import dagster as dg

from ml_assets.labeling.settings import LabelingSettings
from ml_assets.resources import Workspace, key
from ml_assets.tasks import InvalidLabel


def labeling_checks(project: str, settings: LabelingSettings) -> list[dg.AssetChecksDefinition]:
    """The checks of the labeling stage."""

    @dg.asset_check(asset=key(project, "label_tasks"), blocking=True)
    def one_task_each(workspace: Workspace) -> dg.AssetCheckResult:
        """No two samples share a Label Studio task, every sample of the queue has one, and none is a test sample."""
        store = workspace.store(project)
        table = store.table("label_tasks").read(["id", "task_id"], "task_id IS NOT NULL")
        tasks = table["task_id"].to_pylist()
        test = store.table("samples").ids("split = 'test'") & set(table["id"].to_pylist())
        open_ = store.table("label_tasks").count("task_id IS NULL")
        passed = len(tasks) == len(set(tasks)) and not test and open_ == 0
        return dg.AssetCheckResult(
            passed=passed,
            metadata={"tasks": len(tasks), "shared": len(tasks) - len(set(tasks)), "of test samples": len(test), "open": open_},
        )

    @dg.asset_check(asset=key(project, "annotations"), blocking=True)
    def known_classes(workspace: Workspace) -> dg.AssetCheckResult:
        """Every answer is one that the task allows."""
        values = set(workspace.store(project).table("annotations").read(["value"], "deleted = false")["value"].to_pylist())
        wrong = []
        for value in sorted(values):
            try:
                settings.task.check(value)
            except InvalidLabel as error:
                wrong.append(str(error))
        return dg.AssetCheckResult(passed=not wrong, description="; ".join(wrong))

    @dg.asset_check(asset=key(project, "labels"))
    def annotators_agree(workspace: Workspace) -> dg.AssetCheckResult:
        """Fewer than one in ten labelled samples is in conflict."""
        table = workspace.store(project).table("labels")
        conflicts, total = table.count("conflict = true"), table.count()
        share = conflicts / total if total else 0.0
        return dg.AssetCheckResult(
            passed=share < 0.1, severity=dg.AssetCheckSeverity.WARN, metadata={"conflicts": conflicts, "share": share}
        )

    @dg.asset_check(asset=key(project, "dataset"), blocking=True)
    def samples_exist(workspace: Workspace) -> dg.AssetCheckResult:
        """The dataset is not empty, and every row is a sample in the split that the sample has."""
        store = workspace.store(project)
        tag = store.table("dataset").tags()[-1]
        rows = store.table("dataset").read(["id", "split"], tag=tag).to_pylist()
        splits = dict(zip(*(store.table("samples").read(["id", "split"])[c].to_pylist() for c in ("id", "split")), strict=True))
        wrong = [row["id"] for row in rows if splits.get(row["id"]) != row["split"]]
        return dg.AssetCheckResult(passed=bool(rows) and not wrong, metadata={"rows": len(rows), "wrong": len(wrong)})

    return [one_task_each, known_classes, annotators_agree, samples_exist]
