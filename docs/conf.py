"""Sphinx's configuration: Markdown pages (MyST) that also read well on a forge, as they are.

Strict: ``sphinx-build -W --keep-going -n -b html docs docs/_build``. A link to a page, a heading or a file that is not
there is an error, and so is a page that no navigation leads to.
"""

import re
from pathlib import Path

import tomllib

_ROOT = Path(__file__).parent.parent
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_VERSION = re.search(r'^__version__ = "(.*)"$', (_ROOT / "atomicops" / "__init__.py").read_text("utf-8"), re.M)
assert _VERSION is not None

project = "atomicops and stress"
author = _PROJECT["authors"][0]["name"]
copyright = author
release = version = _VERSION[1]

extensions = ["myst_parser"]
myst_heading_anchors = 3  # the anchors that a forge makes: [text](page.md#a-heading)
myst_enable_extensions = ["smartquotes"]
# README.md is what a forge shows of this folder; index.rst includes it and adds the navigation.
exclude_patterns = ["_build", "README.md"]

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sourcelink = False
html_copy_source = False
