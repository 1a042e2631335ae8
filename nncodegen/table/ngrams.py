"""Turns texts into a few numbers, in which similar texts are close: latent semantic analysis of character n-grams.

scikit-learn does the work, with the settings of skrub's StringEncoder, which is made of the same two classes: from the
same n-grams, the numbers are those of StringEncoder. What was learned is put back by public attributes (``vocabulary``
and ``idf_``), where a StringEncoder has private ones only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nncodegen.runtime.python.ground.missing import needed

COMPONENTS = 30
"""The most numbers that stand for a text."""

ROWS_PER_COMPONENT = 10
"""The fewest rows of a column for each of these numbers."""

MOST_NGRAMS = 10_000
"""The most n-grams that are counted: the most frequent ones."""

FEWEST_ROWS = 2
"""An n-gram that occurs in fewer rows than this says nothing about others."""

WORDS_OF_TEXTS = 2.0
"""From this mean number of words on, different texts are compared by their n-grams. Single words, such as the names of
countries, are often alike by chance."""

WORDS_OF_SENTENCES = 5.0
"""From this mean number of words on, texts that are all different do not identify rows."""

_SMALLEST = 1e-6  # a deviation below this is rounding; frequencies have the norm 1
_LARGEST_IDF, _LARGEST_COMPONENT = 1e3, 1e9  # a logarithm of a number of rows; 1/_SMALLEST, and some room
_BREAK = "\n"  # an n-gram holds no white space but blanks


@dataclass(frozen=True, eq=False)
class Ngrams:
    """Character n-grams, with idf (terms,), their weights by rarity, and components (components, terms).

    A text becomes the numbers of its n-grams times ``idf``, divided by their Euclidean norm; then the products of these
    with each of the components.
    """

    terms: tuple[str, ...]
    idf: Any
    components: Any

    def __post_init__(self) -> None:
        count = len(self.terms)
        if not 0 < count <= MOST_NGRAMS or len(set(self.terms)) < count or "" in self.terms:
            raise ValueError(f"n-grams are not different texts, at most {MOST_NGRAMS}")
        if not 0 < self.width <= COMPONENTS or np.shape(self.idf) != (count,) or self.components.shape[1:] != (count,):
            raise ValueError("the arrays of n-grams have other shapes")
        if not ((abs(self.idf) <= _LARGEST_IDF).all() and (abs(self.components) <= _LARGEST_COMPONENT).all()):
            raise ValueError("the arrays of n-grams have numbers that are not finite, or too large")

    @property
    def width(self) -> int:
        """Return the number of components."""
        return len(self.components)

    @property
    def arrays(self) -> tuple[Any, Any]:
        """Return what ``with_arrays`` takes."""
        return self.idf, self.components

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as data for JSON."""
        return {"terms": _BREAK.join(self.terms), "components": self.width}

    @cached_property
    def _vectorizer(self) -> Any:
        vectorizer = _vectorizer(vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        return vectorizer

    def encode(self, texts: Sequence[str]) -> Any:
        """Return the numbers that stand for texts: (N, components). Those of a text do not depend on the others."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        numbers = self._vectorizer.transform(places) @ self.components.T
        return numbers[[places[text] for text in texts]]


def ngrams_from_dict(fields: Mapping[str, Any]) -> Ngrams:
    """Return the n-grams of ``to_dict``, with arrays of zeros. Raises KeyError, TypeError or ValueError."""
    joined, count = fields["terms"], fields["components"]
    if set(fields) != {"terms", "components"} or not isinstance(joined, str) or type(count) is not int:
        raise TypeError("n-grams are not a text and a number of components")
    terms = tuple(joined.split(_BREAK))
    if not 0 < count <= COMPONENTS or len(terms) > MOST_NGRAMS:
        raise ValueError(f"there are {len(terms)} n-grams with {count} components")
    return Ngrams(terms, np.zeros(len(terms)), np.zeros((count, len(terms))))


def learn_ngrams(name: str, texts: Sequence[str]) -> Ngrams | None:
    """Return the n-grams of the texts of a column, and their main components.

    None if the texts are few, all alike, or have no n-grams in common. The components are scaled so that the variances
    of all numbers have the sum 1: together they count as much as a column of numbers.
    """
    with needed(f"the column of texts {name!r}", "scikit-learn", "'nncodegen[table]'"):
        from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 (only tables with texts need it)

        vectorizer = _vectorizer(min_df=FEWEST_ROWS, max_features=MOST_NGRAMS)
    try:
        frequencies = vectorizer.fit_transform(texts)
    except ValueError:  # no n-gram is in several texts
        return None
    count = min(COMPONENTS, len(texts) // ROWS_PER_COMPONENT, frequencies.shape[1])
    if not count:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):  # texts that are all alike have no variance to explain
        decomposition = TruncatedSVD(count, random_state=0).fit(frequencies)
    deviation = np.sqrt((frequencies @ decomposition.components_.T).var(axis=0).sum())
    if not deviation > _SMALLEST:
        return None
    return Ngrams(
        tuple(vectorizer.get_feature_names_out().tolist()), vectorizer.idf_, decomposition.components_ / deviation
    )


def words_in(texts: Collection[str]) -> float:
    """Return the mean number of words of texts."""
    return sum(len(text.split()) for text in texts) / len(texts)


def _vectorizer(**options: Any) -> Any:
    with needed("a column of texts", "scikit-learn", "'nncodegen[table]'"):
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 (only tables with texts need it)

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), **options)
