"""Creates, finds and describes projects on a Label Studio server; each `ml_assets` project has one there."""

from typing import Any

from ml_assets.errors import InvalidValue
from ml_assets.labeling.label_studio.connection import Connection, listed, stamp


class Projects(Connection):
    """A connection to Label Studio with the calls that concern projects."""

    def ensure_project(
        self, name: str, label_config: str, annotators: int = 1, title: str | None = None, may_be_empty: bool = False
    ) -> int:
        """The id of the Label Studio project that belongs to the project `name`; it is created if there is none.

        It is found by a line in its description, so people may change its title. Its label configuration, number of annotators
        per task, order of tasks and whether empty answers are allowed are updated where they differ.
        """
        marker = _marker(name)
        wanted: dict[str, Any] = {
            "label_config": label_config,
            "maximum_annotations": annotators,
            "sampling": "Uncertainty sampling",
            "enable_empty_annotation": may_be_empty,
        }
        with self._asking(f"the project {name!r}"):
            found = self._marked(marker)
            if not found:
                made: Any = self._sdk.projects.create(
                    title=(title or name).ljust(3, "."),  # the server requires three characters
                    description=_description(name),
                    **wanted,
                )
                found = self._marked(marker)
                if found[0].id != made.id:  # another process created one at the same time: keep the first
                    self._sdk.projects.delete(made.id)
            project: Any = self._sdk.projects.get(found[0].id)
            changes = {key: value for key, value in wanted.items() if getattr(project, key) != value}
            if changes:
                self._sdk.projects.update(project.id, **changes)
            return int(project.id)

    def project(self, project: int) -> dict[str, Any] | None:
        """The project as the server describes it; None if the id is unknown."""
        answer = self._get(f"/api/projects/{project}/", f"project {project}", may_miss=True)
        with self._asking(f"project {project}"):
            return None if answer is None else dict(answer)

    def projects(self) -> dict[int, dict[str, Any]]:
        """Title and description of each project on the server, by id."""
        with self._asking("the list of projects"):
            return {int(p.id): {"title": str(p.title), "description": str(p.description or "")} for p in self._projects()}

    def mark(self, project: int, name: str) -> None:
        """Write the line by which `ensure_project` finds the project into its description."""
        with self._asking(f"the project {name!r}"):
            self._sdk.projects.update(project, description=_description(name))

    def storages(self, project: int) -> dict[str, str]:
        """Path or bucket of each import and export storage of the project, by direction, kind and id."""
        found: dict[str, str] = {}
        for way in ("", "export"):
            answer = self._get(f"/api/storages/{way}?project={project}", f"the storages of project {project}")
            with self._asking(f"the storages of project {project}"):
                for storage in listed(answer):
                    where = storage.get("path") or storage.get("bucket") or storage.get("container") or "?"
                    found[f"{way or 'import'} {storage['type']} {storage['id']}"] = str(where)
        return found

    def ensure_local_files(self, project: int, folder: str) -> None:
        """Let the project show the files in a folder below the server's folder of local files."""
        with self._asking(f"the files of project {project}"):
            known: Any = self._sdk.import_storage.local.list(project=project)
            if folder not in {storage.path for storage in listed(known)}:
                self._sdk.import_storage.local.create(project=project, path=folder, use_blob_urls=True)

    def _marked(self, marker: str) -> list[Any]:
        """The projects whose description holds the marker, oldest first."""
        return [project for project in self._projects() if marker in (project.description or "")]

    def _projects(self) -> list[Any]:
        """All projects, oldest first."""
        found: dict[int, Any] = {}
        listed: Any = self._sdk.projects.list(page_size=100, include="id,title,description")
        for project in listed:
            if not isinstance(project.id, int) or project.id in found:  # invalid or endlessly repeated pages
                raise InvalidValue("no list of projects")
            found[project.id] = project
        return [found[number] for number in sorted(found)]

    def created_at(self, project: int) -> str:
        """Creation time of the project to the microsecond; distinguishes projects with the same id on different servers."""
        with self._asking(f"project {project}"):
            found: Any = self._sdk.projects.get(project)
            return stamp(found.created_at)


def _marker(name: str) -> str:
    return f'Kept by ml_assets, project "{name}".'


def _description(name: str) -> str:
    return f"{_marker(name)} Keep this line: the project is found by it."


def is_ours(description: str) -> bool:
    """Whether a description is that of a project that `ml_assets` created, under any name."""
    return 'Kept by ml_assets, project "' in description
