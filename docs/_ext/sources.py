"""Links from documents to files of the repository lead to pages that show them, so that the site needs nothing else."""

from __future__ import annotations

import ast
import posixpath
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SUFFIXES = (".py", ".pyx", ".pxi", ".h", ".c", ".js", ".txt", ".md", ".pyi", ".html", ".svg")
FOLDER = "sources"
PAGES = {"CHANGELOG.md": "changelog", "README.md": "index"}
"""Files beside docs/ that the site has as documents of its own."""


def page_of(path: Path) -> str:
    """Return the path of the page that shows a file or a folder, from the top of the site."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_relative_to(DOCS):
        return f"{path.relative_to(DOCS).as_posix()}/index.html"
    return f"{FOLDER}/{name}/index.html" if path.is_dir() else f"{FOLDER}/{name}.html"


EXAMPLE = re.compile(r"\]\(((?:\.\./)*)gallery(?:/(\w+)\.py)?/?\)")
"""A link to a script of the gallery, or to all of them."""


def to_documents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to files that the site has as documents lead to these."""
    source[0] = EXAMPLE.sub(lambda link: f"]({link[1]}examples/{link[2] or 'index'}.rst)", source[0])
    up = "../" * (docname.count("/") + 1)
    for name, document in PAGES.items():
        source[0] = source[0].replace(f"]({up}{name})", f"]({up.removesuffix('../')}{document}.md)")


TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0 auto; max-width: 64rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif }}
body {{ background: #fff; color: #1a1a1a }}
a {{ color: #1f5fa8 }}
pre, code {{ font: 13px/1.45 "DejaVu Sans Mono", Menlo, Consolas, monospace }}
.code {{ overflow-x: auto; padding: 0 1rem; border-radius: 6px }}
td {{ padding: 0.2rem 1rem 0.2rem 0; vertical-align: top }}
h1 {{ font-size: 1.3rem; overflow-wrap: anywhere }}
{light}
@media (prefers-color-scheme: dark) {{
body {{ background: #131416; color: #d0d0d0 }}
a {{ color: #7db4f0 }}
{dark}
}}
</style>
</head>
<body>
<p><a href="{home}">The map of the code</a></p>
<h1>{name}</h1>
{body}
</body>
</html>
"""
"""A page that shows a file or a folder: without the theme, which would take a second for ten of them."""


class LinksToSources(SphinxTransform):
    """Gives links to files and folders beside docs/ the address of the page that shows them."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Replace the nodes that MyST has made of such links."""
        docname = self.env.docname
        here = (DOCS / docname).parent
        for node in list(
            self.document.findall(lambda n: isinstance(n, addnodes.download_reference | addnodes.pending_xref))
        ):
            target = unquote(node.get("reftarget", "")).partition("#")[0]
            if not target:
                continue
            path = Path(posixpath.normpath(f"{here.as_posix()}/{target}"))
            if not path.exists() or not path.is_relative_to(ROOT) or (path.is_relative_to(DOCS) and not path.is_dir()):
                continue
            address = posixpath.relpath(page_of(path), posixpath.dirname(docname) or ".")
            link = nodes.reference("", "", *node.children, refuri=address, internal=True, source=str(path))
            node.replace_self(link)


def linked(app: Sphinx) -> set[Path]:
    """Return the files and folders to which documents link."""
    links = (link for docname in app.env.found_docs for link in app.env.get_doctree(docname).findall(nodes.reference))
    paths = {Path(link["source"]) for link in links if "source" in link}
    return {path for path in paths if not path.is_relative_to(DOCS)}


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    if path.suffix != ".py":
        return ""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def shown_folder(path: Path, others: set[Path]) -> str:
    """Return a folder as HTML: its files with their first lines; files that have a page are links."""
    rows = []
    for file in sorted(path.iterdir()):
        if file.is_file() and file.suffix in SUFFIXES:
            name = escape(file.name)
            address = posixpath.relpath(page_of(file), posixpath.dirname(page_of(path)))
            link = f'<a href="{address}">{name}</a>' if file in others else name
            rows.append(f"<tr><td><code>{link}</code></td><td>{escape(summary(file))}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def shown_file(path: Path) -> str:
    """Return a file as HTML, with its syntax in colours."""
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    return highlight(path.read_text(), lexer, HtmlFormatter(cssclass="code"))


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the pages of all files and folders to which documents link."""
    if error or app.builder.format != "html":
        return
    light = HtmlFormatter(style="friendly").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    paths = linked(app)
    for path in sorted(paths):
        page = page_of(path)
        body = shown_folder(path, paths) if path.is_dir() else shown_file(path)
        file = Path(app.outdir) / page
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            TEMPLATE.format(
                name=path.relative_to(ROOT).as_posix(),
                light=light,
                dark=dark,
                body=body,
                home=posixpath.relpath("architecture.html", posixpath.dirname(page)),
            )
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to reading and writing."""
    app.add_transform(LinksToSources)
    app.connect("source-read", to_documents)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
