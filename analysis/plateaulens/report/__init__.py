"""The report of a run: what it says (sentences, tables, captions), and how it is rendered."""
