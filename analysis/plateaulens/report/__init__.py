"""The report of a run: what it says, a file for each topic with its sentences, tables and captions, and how it is made.

It words what a summary stores and infers nothing; `tests/report/test_words_only.py` holds it to that.
"""

from plateaulens.notebook.called import make_callable

make_callable(__name__)
