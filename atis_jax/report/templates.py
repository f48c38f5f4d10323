"""Pages: ``base.html`` is what all share, head, style sheet and title; a page extends it."""

from __future__ import annotations

from importlib import resources

import jinja2


def page_template(package: str, name: str = "page.html") -> jinja2.Template:
    """The template ``name`` of ``package``, which may extend those that lie beside this module.

    What is filled in is escaped; a name that is not given is an error.
    """
    loader = jinja2.ChoiceLoader([_files_of(package), _files_of(__package__)])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template(name)


def _files_of(package: str) -> jinja2.BaseLoader:
    def source(name: str) -> str | None:
        file = resources.files(package).joinpath(name)
        return file.read_text("utf-8") if file.is_file() else None

    return jinja2.FunctionLoader(source)
