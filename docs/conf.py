# Copyright 2026 The dormant Authors. SPDX-License-Identifier: Apache-2.0

"""How Sphinx builds the site; `make docs` runs it, and CI with every warning as an error."""

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_site"))  # the extensions, beside this file
SETUP = (DOCS.parent / "setup.py").read_text("utf-8")
VERSION = (DOCS.parent / "dormant" / "version.py").read_text("utf-8")

project = "dormant"
author = "The dormant developers"
copyright = "2026, The dormant Authors"  # noqa: A001  (Sphinx's name)
release = re.search(r'^__version__ = "(.+)"$', VERSION, re.MULTILINE).group(1)
repository = re.search(r'^REPOSITORY = "(.+)"$', SETUP, re.MULTILINE).group(1)

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "extension",
]
exclude_patterns = ["_build", "_site", "notebooks/*.ipynb"]
source_suffix = {".md": "myst-nb"}

myst_heading_anchors = 3

# A notebook runs whenever the site is built: an output is always of the code that is published.
nb_execution_mode = os.environ.get("NOTEBOOKS", "force")
if nb_execution_mode == "off":  # only a run tells the language of a cell
    suppress_warnings = ["myst-nb.lexer"]
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_attr_annotations = False  # types stand in the signature, where they can be read
napoleon_custom_sections = [("Attributes", "params_style")]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

nitpicky = True
# Names of other packages are links where the site is built with a network (ONLINE=1).
if os.environ.get("ONLINE") == "1":
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "jax": ("https://docs.jax.dev/en/latest", None),
        "flax": ("https://flax.readthedocs.io/en/latest", None),
        "optax": ("https://optax.readthedocs.io/en/latest", None),
    }
nitpick_ignore_regex = [(r"py:.*", r"(?!dormant\b).*")]

html_theme = "furo"
html_title = f"dormant {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": repository,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
    "navigation_with_keys": False,
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
linkcheck_anchors = False
