"""The two output formats: an HTML page in one file, and a PDF set by typst."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typst
import yaml

from qmdrender.document import Document
from qmdrender.errors import RenderError
from qmdrender.execute import Executed
from qmdrender.markdown import MarkdownWriter
from qmdrender.metadata import Metadata, for_format, for_pandoc
from qmdrender.pandoc import convert
from qmdrender.selfcontained import require_self_contained

_STYLE = Path(__file__).parent / "templates" / "page.css"
_TOC_DEPTH = 3
_STANDARDS: tuple[list[Literal["ua-1"]], ...] = (["ua-1"], [])
"""What a PDF is to conform to, the strictest first."""
_UNREADABLE = "PDF/UA-1 error"
"""In what typst says of a document that does not conform to it."""


def write_html(document: Document, parts: Sequence[str | Executed], folder: Path) -> Path:
    """Write the page, with its pictures and its style sheet inside.

    Parameters
    ----------
    document
        The document as read.
    parts
        Its parts as run.
    folder
        Where the page goes.

    Returns
    -------
    Path
        The page's.

    Raises
    ------
    RenderError
        For what pandoc complains of, and for what the page would load from elsewhere.
    """
    settings = for_format(document.metadata, "html")
    headings_start_at = 2 if "title" in settings else 1
    depth = int(settings.get("toc-depth", _TOC_DEPTH)) + headings_start_at - 1
    options = ["--embed-resources", "--mathml", "--section-divs", "--css", str(_STYLE), f"--toc-depth={depth}"]
    page = _convert(document, parts, output_format="html", settings=settings, folder=folder, options=options)
    require_self_contained(page)
    return _written(folder / f"{document.path.stem}.html", page)


def write_pdf(document: Document, parts: Sequence[str | Executed], folder: Path) -> Path:
    """Write the PDF and its typst source.

    The PDF is tagged, and conforms to PDF/UA-1 unless something in the document cannot be read aloud: a picture that
    nobody described, or a document without a title. It bears a date only when SOURCE_DATE_EPOCH gives one, so that the
    same document makes the same file.

    Parameters
    ----------
    document
        The document as read.
    parts
        Its parts as run.
    folder
        Where both go.

    Returns
    -------
    Path
        The PDF's.

    Raises
    ------
    RenderError
        For what pandoc complains of, and for what typst cannot set.
    """
    settings = for_format(document.metadata, "typst")
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    language, _, region = str(settings.get("lang", "en")).partition("-")
    names = [author["name"] for author in for_pandoc(settings, document.path.stem).get("author", [])]
    variables = {
        "document-authors": f"({''.join(f'{json.dumps(name, ensure_ascii=False)},' for name in names)})",
        "document-date": "auto" if epoch else "none",
        "language": language,
        "region": region,
    }
    options = [f"--variable={name}={value}" for name, value in variables.items() if value]
    options.append(f"--toc-depth={settings.get('toc-depth', _TOC_DEPTH)}")
    text = _convert(document, parts, output_format="typst", settings=settings, folder=folder, options=options)
    source = _written(folder / f"{document.path.stem}.typ", text)
    target = source.with_suffix(".pdf")
    for standards in _STANDARDS:
        try:
            typst.compile(
                source, output=target, root=folder, timestamp=int(epoch) if epoch else None, pdf_standards=[*standards]
            )
        except typst.TypstError as error:
            if standards and _UNREADABLE in error.diagnostic:
                continue
            raise RenderError(f"typst: {' '.join(error.message.split())}", error.diagnostic) from None
        break
    return target


def _convert(
    document: Document,
    parts: Sequence[str | Executed],
    *,
    output_format: str,
    settings: Metadata,
    folder: Path,
    options: Sequence[str],
) -> str:
    metadata = for_pandoc(settings, document.path.stem)
    described = _written(folder / "metadata.yml", yaml.safe_dump(metadata, allow_unicode=True))
    return convert(
        MarkdownWriter(output_format, settings, folder).document(parts),
        output_format,
        folder=folder,
        resources=[folder, document.path.parent],
        cited="bibliography" in metadata,
        options=[f"--metadata-file={described}", *(["--toc"] if settings.get("toc") else []), *options],
    )


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
