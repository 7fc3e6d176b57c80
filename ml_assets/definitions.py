"""The entry point of Dagster: loads every project by itself, so that a broken one does not affect the others."""

import re

import dagster as dg

from ml_assets import settings
from ml_assets.orchestration.resources import Workspace, key
from ml_assets.project import MLProject
from ml_assets.state.surroundings import spare_loopback


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of all projects; a project with an invalid YAML appears as one asset with the error message."""
    spare_loopback()
    # not `load_from_defs_folder`: it loads all or nothing
    return dg.Definitions.merge(*map(one, settings.project_names()), shared())


def one(project: str) -> dg.Definitions:
    """The definitions of one project, or the asset with the error message if it cannot be loaded."""
    try:
        return MLProject.declared(project)[1]
    except settings.ProjectError as error:
        return broken(project, str(error))


def shared() -> dg.Definitions:
    """The definitions that all projects use: the workspace resource and the executor."""
    # steps in processes of their own would each import torch again
    return dg.Definitions(resources={"workspace": Workspace()}, executor=dg.in_process_executor)


def broken(project: str, sentence: str) -> dg.Definitions:
    """Make an asset that stands for a project that cannot be loaded, with the error message as its description."""
    dg.get_dagster_logger().error(sentence)
    group = re.sub(r"[^A-Za-z0-9_]", "_", project)  # the name itself may be what is wrong
    spec = dg.AssetSpec(key(project, "broken"), group_name=group, description=sentence, kinds={"yaml"})
    return dg.Definitions(assets=[spec])
