"""The file lock of a project, which `ml-assets run` and the runs of sensors and schedules take: one writer at a time."""

from filelock import FileLock

from ml_assets.state.home import home
from ml_assets.state.names import named


def project_lock(project: str) -> FileLock:
    """The project's lock; all callers in a process get the same object, so that acquiring it twice does not deadlock.

    Raises `UnknownProject`: the name may come from a run's tag, which anybody who starts runs can write.
    """
    path = home() / "locks" / f"{named(project)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, is_singleton=True, thread_local=False)
