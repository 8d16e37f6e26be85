"""The printed reference: one volume a service and one of guides, by xelatex.

``conf.py`` takes :data:`ELEMENTS` and :func:`volumes` from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PREAMBLE = r"""
\usepackage{longtable,array,xcolor,tikz}
\definecolor{crmsoft}{HTML}{4A5A5C}
\definecolor{crmreq}{HTML}{A3232B}
\definecolor{crmself}{HTML}{E2F4E8}
\newcommand{\crmmethod}[1]{\colorbox{crmself}{\ttfamily\bfseries\small #1}}
\newcommand{\crmtight}{\setlength{\itemsep}{0pt}\setlength{\parskip}{0pt}\setlength{\parsep}{0pt}}
\newenvironment{crmfields}{\begin{list}{}{\setlength{\leftmargin}{1.2em}\setlength{\itemindent}{-1.2em}%
  \setlength{\listparindent}{0pt}\setlength{\itemsep}{3pt}\setlength{\parsep}{0pt}\setlength{\topsep}{2pt}}}{\end{list}}
\newenvironment{crmpairs}{\begin{list}{}{\setlength{\leftmargin}{9em}\setlength{\labelwidth}{8.5em}\setlength{\labelsep}{.5em}%
  \setlength{\itemsep}{1pt}\setlength{\parsep}{0pt}\setlength{\topsep}{3pt}%
  \renewcommand{\makelabel}[1]{\small\color{crmsoft}##1\hfil}}}{\end{list}}
\setcounter{tocdepth}{2}
\renewcommand{\arraystretch}{1.25}
\usepackage{etoolbox}
\makeatletter
\titleformat{\chapter}[hang]{\LARGE\bfseries}{\thechapter}{.7em}{}
\titlespacing*{\chapter}{0pt}{2.2em}{.8em}
\patchcmd{\chapter}{\if@openright\cleardoublepage\else\clearpage\fi}{\par\bigskip}{}{}
\patchcmd{\l@chapter}{1.5em}{2.2em}{}{}
\renewcommand*\sphinxtableofcontentshook{%
  \renewcommand*\l@section{\@dottedtocline{1}{2.2em}{3em}}%
  \renewcommand*\l@subsection{\@dottedtocline{2}{5.2em}{4.4em}}}
\renewcommand*\@pnumwidth{2.3em}
\makeatother
\raggedbottom
\sloppy
"""

_FONTS = r"""
\setmainfont{DejaVu Serif}[Scale=0.86]
\setsansfont{DejaVu Sans}[Scale=0.84]
\setmonofont{DejaVu Sans Mono}[Scale=0.78]
"""


#: For ``latex_elements``.
ELEMENTS = {
    "papersize": "a4paper",
    "pointsize": "10pt",
    "fontpkg": _FONTS,
    "preamble": _PREAMBLE,
    "fncychap": "",
    "extraclassoptions": "openany,oneside",
    "sphinxsetup": "verbatimwrapslines=true,verbatimforcewraps=true,VerbatimColor={HTML}{F6F9F9},"
    "VerbatimBorderColor={HTML}{DDE4E4},InnerLinkColor={HTML}{0A6A74},OuterLinkColor={HTML}{0A6A74},"
    "TitleColor={HTML}{182426},hmargin=2.2cm,vmargin=2.2cm",
}


def volumes(source: Path, project: str, author: str) -> list[tuple[str, str, str, str, str, bool]]:
    """Return the volumes of a project: each chapter that has an ``index``, and the guides.

    A project without chapters has one volume of everything.
    """
    found = []
    for page in sorted(source.glob("services/*/index.*")):
        slug = page.parent.name
        title = f"{slug.replace('-', ' ').capitalize()}: {project}"
        found.append((f"services/{slug}/index", f"crm-{slug}.tex", title, author, "manual", False))
    for name in ("guides", "start"):
        if any(source.glob(f"{name}/index.*")):
            found.append((f"{name}/index", f"crm-{name}.tex", f"{name.capitalize()}: {project}", author, "manual", False))
    if not found:
        found.append(("index", "reference.tex", project, author, "manual", False))
    return found


def _hoist(app: Sphinx, doctree: nodes.document) -> None:
    """Move hidden tables of contents out of the section that they happen to end.

    Authors write them at the foot of a page. On paper the pages that they name would become parts of that page's last section.
    """
    top = doctree.next_node(nodes.section)
    if top is None:
        return
    for toctree in list(doctree.findall(addnodes.toctree)):
        wrapper = toctree.parent
        if toctree["hidden"] and wrapper.parent not in (top, doctree) and len(wrapper) == 1:
            wrapper.parent.remove(wrapper)
            top += wrapper


def setup_paper(app: Sphinx) -> None:
    """Put pages of a volume on the level of its sections, before the collector of contents reads the page."""
    app.connect("doctree-read", _hoist, priority=100)
