"""The files of the page for people, held in memory, and the page that documents the routes.

Nothing in them is made from a request, and nothing is loaded from elsewhere.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

FOLDER = Path(__file__).resolve().parent
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = {
    path.name: (path.read_bytes(), TYPES[path.suffix])
    for path in sorted((FOLDER / "static").iterdir())
    if path.suffix in TYPES and not path.is_symlink()
}


def docs(document: dict[str, Any]) -> bytes:
    """The OpenAPI document as a page to read."""
    return _environment().get_template("docs.html.jinja").render(document=document).encode()


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["indented"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    return found
