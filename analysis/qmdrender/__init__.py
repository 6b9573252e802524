"""Quarto documents with Python cells, rendered to HTML and PDF by packages from PyPI alone.

For machines where Quarto's own program cannot be installed. It reads the part of the `.qmd` language that a computed
article needs, and refuses the rest rather than rendering it differently from Quarto:

- Python cells with `#|` options, inline `{python} expression`, and parameters (a cell tagged `parameters`);
- figures, tables, equations and sections with numbers and cross references, subfigures, callouts, folded code;
- citations, and project settings from `_quarto.yml`.

The cells run once, whatever the number of formats. A page never loads anything from the network.

    python -m qmdrender article.qmd --to html,typst --out built -P seed:7
"""

from qmdrender.errors import RenderError
from qmdrender.render import FORMATS, render

__all__ = ["FORMATS", "RenderError", "render"]
