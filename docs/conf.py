"""Sphinx configuration: Markdown pages, the API from docstrings, no network."""

import flawscope

project = "flawscope"
copyright = "The flawscope authors, Apache-2.0"
release = version = flawscope.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"flawscope {version}"
html_static_path: list[str] = []
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_mock_imports: list[str] = []
napoleon_google_docstring = True
