"""How Sphinx builds the documentation: `make docs`, and adr/0002-documentation-engine.md."""

import builtins
import sys
from importlib.metadata import version as installed_version
from typing import Any

from docutils.nodes import document
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

project = "cloudcrypt"
author = "the cloudcrypt authors"
copyright = "the cloudcrypt authors; Apache License 2.0"
release = version = installed_version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
add_module_names = False
default_role = "code"  # tests/project checks the names of cloudcrypt in docstrings

# References are checked (`-n`), but the build works without a network: names of Python itself and
# of the libraries in signatures have no page to link to, names of cloudcrypt must have one.
nitpicky = True
_foreign = "|".join(
    sorted({*sys.stdlib_module_names, "attr", "attrs", "click", "cryptography", "rich"})
)
_builtin = "|".join(sorted(name for name in dir(builtins) if name.isidentifier()))
nitpick_ignore_regex = [
    (r"py:.*", rf"(?:{_foreign})(?:\..*)?"),
    (r"py:.*", rf"(?:{_builtin})"),
    (r"py:.*", r".*[^\w.].*"),  # prose under Raises, or a value: not a name
    (r"py:class", r"cloudcrypt\w*\..*\.(?:[A-Z]|\w+T)(?:_co)?"),  # type variables
]

html_theme = "furo"
html_title = f"cloudcrypt {release}"
html_copy_source = False
html_show_sphinx = False


def read_google_sections(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Turn the Google sections of a docstring into fields.

    This is what the extension napoleon does, but for one thing: it reads the first line of an
    attribute's docstring as "type: description", and ours are prose that may hold a colon.
    """
    if what == "module":
        lines[:] = keep_drawings(lines)
    kind = "method" if what in {"attribute", "data", "property"} else what
    lines[:] = GoogleDocstring(lines, Config(), app, kind, name, obj, options).lines()


def keep_drawings(lines: list[str]) -> list[str]:
    """Return a module's docstring with its indented blocks, trees and lists, kept as drawn."""
    kept: list[str] = []
    margin = ""
    for line in lines:
        starts_block = line.startswith("    ") and kept and not kept[-1] and margin[-2:] != "::"
        if starts_block and not margin.startswith(" "):
            kept += ["::", ""]
        kept.append(line)
        margin = line or margin
    return kept


def find_bare_names(_: Sphinx, tree: document) -> None:
    """Let `InvalidRequest` under Raises refer to that class wherever it is documented."""
    for reference in tree.findall(pending_xref):
        if reference.get("refdomain") == "py":
            reference["refspecific"] = True


def setup(app: Sphinx) -> None:
    """Take part in the build."""
    app.connect("autodoc-process-docstring", read_google_sections)
    app.connect("doctree-read", find_bare_names)
