"""The one exception that stands for a document (or an environment) that cannot be rendered."""


class RenderError(Exception):
    """A document cannot be rendered: the message says where and why on one line.

    `details` holds what a log should keep besides: a traceback, or everything that pandoc or typst said.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details
