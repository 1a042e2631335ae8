"""The settings of the site, which is built by: python3 -m sphinx docs site."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import matplotlib_scraper

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parent.parent)]

from pictures import LOOK  # noqa: E402 (beside this file)

from nncodegen import __version__  # noqa: E402

project = "nncodegen"
author = "the authors of nncodegen"
copyright = "the authors of nncodegen"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "functions",
    "mathml",
    "pictures",
    "sources",
    "stages",
    "tables",
    "thumbnails",
]
exclude_patterns = ["_ext", "gallery", "pictures", "_build", "examples/sg_execution_times.rst"]
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!nncodegen).*")]  # what other libraries document is not part of this site
suppress_warnings = ["config.cache"]  # functions in the settings of the gallery
highlight_language = "text"
pygments_style = "friendly"
pygments_dark_style = "github-dark"

myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

copybutton_exclude = ".linenos, .gp, .go"


def as_svg(*args, **options):
    """Save the figures of an example as SVG, for sphinx-gallery."""
    return matplotlib_scraper(*args, format="svg", **options)


def reset(settings, name):
    """Every example begins with the same look."""
    plt.rcParams.update(LOOK)


sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (as_svg,),
    "reset_modules": ("matplotlib", reset),
    "capture_repr": (),
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "remove_config_comments": True,
    "notebook_images": False,
    "abort_on_example_error": False,
    "plot_gallery": "True",
    "parallel": 2,
}

html_theme = "furo"
html_title = "nncodegen"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1f5fa8",
        "color-brand-content": "#1f5fa8",
        "font-stack--monospace": '"DejaVu Sans Mono", Menlo, Consolas, monospace',
    },
    "dark_css_variables": {"color-brand-primary": "#7db4f0", "color-brand-content": "#7db4f0"},
}
