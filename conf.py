"""Sphinx's configuration: ``sphinx-build -c . docs _build/html``."""

from __future__ import annotations

import warnings
from pathlib import Path

from crm_reference import __version__
from crm_reference.sphinx.paper import ELEMENTS, volumes

# sphinx-autodoc-typehints 3.6 is the last for Python 3.11 and calls a setter that Sphinx 10 will lose.
warnings.filterwarnings("ignore", message=".*_RstSnippetParser.set_application", category=DeprecationWarning)
warnings.filterwarnings("ignore", message=".*_RstSnippetParser.set_application", category=PendingDeprecationWarning)

HERE = Path(__file__).parent

project = "CRM API reference"
author = "CRM platform"
project_copyright = "CRM platform, Apache 2.0"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_autodoc_typehints",
    "sphinx.ext.intersphinx",
    "sphinx_design",
    "sphinx_copybutton",
    "notfound.extension",
    "sphinxext.opengraph",
    "crm_reference.sphinx",
]
exclude_patterns = ["_build", "_templates", "_static"]
templates_path = ["docs/_templates"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!crm_reference).*"),  # other projects' inventories are not fetched
    ("py:.*", r"crm_reference\.(emulator|exchanges|trace|conformance)\.\w+\.\w+"),  # documented where they are exported from
]
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}
default_role = "any"

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "fieldlist", "substitution"]
myst_heading_anchors = 3

pygments_style = "github-light-high-contrast"
pygments_dark_style = "github-dark"
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_typehints = "none"  # sphinx_autodoc_typehints writes them beside the parameters
typehints_fully_qualified = False
always_document_param_types = False

html_theme = "furo"
html_title = "CRM API reference"
html_baseurl = "https://docs.crm.example/"
html_static_path = ["docs/_static"]
html_css_files = ["crm.css"]
html_js_files = [("crm.js", {"defer": "defer"})]
html_favicon = "docs/_static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_search_scorer = str(HERE / "docs" / "_static" / "scorer.js")
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#0b6b58",
        "color-brand-content": "#0a6a74",
        "color-api-name": "#0a6a74",
        "color-api-pre-name": "#0a6a74",
        "color-brand-visited": "#5d4b8c",
        "color-background-primary": "#ffffff",
        "color-background-secondary": "#f6f8f8",
        "color-background-border": "#dde4e4",
        "color-foreground-primary": "#182426",
        "color-foreground-secondary": "#4a5a5c",
        "color-foreground-muted": "#5b6b6d",
        "color-inline-code-background": "#eef3f3",
        "color-highlight-on-target": "#dff3ec",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif",
        "font-stack--monospace": "ui-monospace, 'SF Mono', 'Cascadia Code', 'JetBrains Mono', Menlo, Consolas, "
        "'DejaVu Sans Mono', monospace",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5fd3b8",
        "color-brand-content": "#6ecbd6",
        "color-api-name": "#6ecbd6",
        "color-api-pre-name": "#6ecbd6",
        "color-brand-visited": "#b9a6ee",
        "color-background-primary": "#0f1618",
        "color-background-secondary": "#141d1f",
        "color-background-border": "#2a3639",
        "color-foreground-primary": "#dbe4e5",
        "color-foreground-secondary": "#a8b6b8",
        "color-foreground-muted": "#94a3a5",
        "color-inline-code-background": "#1d282b",
        "color-highlight-on-target": "#143a31",
    },
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_selector = "div.highlight pre:not(.xp pre)"

ogp_site_url = html_baseurl
ogp_social_cards = {"enable": False}
notfound_urls_prefix = "/"

doctest_global_setup = ""

today = " "  # on the title page; a date would make two builds differ
latex_engine = "xelatex"
latex_elements = ELEMENTS
latex_documents = volumes(HERE / "docs", project, author)
latex_use_xindy = False
latex_domain_indices = False
latex_show_urls = "no"
