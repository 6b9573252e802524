"""From distributions over base prompts to differences, distances and intervals. The unit is always the base prompt.

Called, the package is `plateaulens.notebook.runs.compare`.
"""

from plateaulens.notebook.called import make_callable

make_callable(__name__)
