"""One writer per project: a lock that `ml-assets run` and the runs of sensors and schedules take."""

from filelock import FileLock

from ml_assets.home import home


def project_lock(project: str) -> FileLock:
    """The project's lock, the same object for all callers in a process, so that taking it twice does not wait for itself."""
    folder = home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{project}.lock", is_singleton=True, thread_local=False)
