"""A summary taken out of its store: tables as files, every statistic as JSON, the same facts as plain Markdown."""

from plateaulens.export.files import FORMATS, export, write_all

__all__ = ["FORMATS", "export", "write_all"]
