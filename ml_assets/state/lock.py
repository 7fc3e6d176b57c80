"""One writer per project: a lock that `ml-assets run` and the runs of sensors and schedules take."""

from filelock import FileLock

from ml_assets.state.home import home
from ml_assets.state.names import named


def project_lock(project: str) -> FileLock:
    """The project's lock, the same object for all callers in a process, so that taking it twice does not wait for itself.

    Raises `UnknownProject`: the name may come from a run's tag, which anybody who starts runs can write.
    """
    path = home() / "locks" / f"{named(project)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, is_singleton=True, thread_local=False)
