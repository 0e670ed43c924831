"""How the documentation is built: Sphinx reads Markdown by MyST, and asks nobody over a network."""

from __future__ import annotations

project = "Outhaul"
author = "The authors of Outhaul"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["images"]
nitpicky = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

html_theme = "pydata_sphinx_theme"
html_title = "Outhaul"
html_static_path = ["_static"]
html_css_files = ["outhaul.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "logo": {"text": "Outhaul"},
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}
# Pages that stand alone have no others beside them to lead to.
html_sidebars: dict[str, list[str]] = {
    name: []
    for name in ("quickstart", "data-flow", "security", "glossary", "changelog", "search", "genindex")
}
