"""Rivals that need no download; every figure of ours stands beside one.

Each is fitted on labelled texts and gives logits. It knows nothing of how the texts were set apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from textdetect._ground.optional import require
from textdetect.errors import InvalidInput

_MAX_CHARS = 1_500
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?。！？\n]+")
_ENGLISH: Final = """
    a about after all also an and any are as at be because been but by can could did do does for
    from had has have he her him his how i if in into is it its just me my no not of on or our out
    she so some such than that the their them then there these they this to too up was we were what
    when which who will with would you your
"""
_FUNCTION_WORDS: Final = frozenset(_ENGLISH.split())


class Fitted:
    """A scikit-learn classifier over something that is made of each text."""

    name: ClassVar[str]
    logits: ClassVar[bool] = True

    def __init__(self, model: Any) -> None:
        self._model = model
        self.is_fitted = False
        self.fingerprint = f"{self.name} {model!r} scikit-learn {version('scikit-learn')}"

    def fit(self, texts: Sequence[str], labels: Sequence[int]) -> Self:
        """Fit on texts; labels 0 human, 1 machine, both among them, or it is `InvalidInput`."""
        if len(texts) != len(labels) or set(labels) != {0, 1}:
            raise InvalidInput(
                f"{self.name}: expected a label 0 or 1 for each text, and both among them; got "
                f"{len(texts)} texts and {len(labels)} labels"
            )
        self._model.fit(self._inputs(texts), np.asarray(labels))
        self.is_fitted = True
        return self

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return logits, shape (n,), higher = more machine-like."""
        if not self.is_fitted:
            raise InvalidInput(f"{self.name} must be fitted first: fit(texts, labels)")
        if not len(texts):
            return np.empty(0, dtype=np.float64)
        return np.asarray(self._logits(self._inputs(texts)), dtype=np.float64)

    def _logits(self, inputs: Any) -> Any:
        return self._model.decision_function(inputs)

    def _inputs(self, texts: Sequence[str]) -> Any:
        return [text[:_MAX_CHARS] for text in texts]


class BagOfWords(Fitted):
    """Character 2–4-grams and word 1–2-grams, tf-idf, logistic regression.

    The classic rival of a fine-tuned transformer, strong on generators that it has seen. It reads
    the first 1,500 characters of a text.

    Args:
        seed: of the solver.
        n_features: hashed features of each of the two kinds.
        grams: what counts the n-grams in place of its own, to be shared by several.

    >>> rival = BagOfWords(n_features=2**10).fit(["so good", "as an AI"], [0, 1])
    >>> bool(rival.score(["an AI"])[0] > rival.score(["good"])[0])
    True
    """

    name = "bag-of-words"

    def __init__(self, *, seed: int = 0, n_features: int = 2**19, grams: Any = None) -> None:
        pipeline, text, linear = _sklearn("pipeline", "feature_extraction.text", "linear_model")
        tf_idf = text.TfidfTransformer(sublinear_tf=True)
        options = {"class_weight": "balanced", "average": True, "random_state": seed}
        classifier = linear.SGDClassifier(loss="log_loss", alpha=2e-6, max_iter=20, **options)
        super().__init__(pipeline.make_pipeline(ngrams(n_features), tf_idf, classifier))
        if grams is not None:
            self._model.steps[0] = ("remembered", grams)


def _sklearn(*modules: str) -> Iterator[Any]:
    return (require(f"sklearn.{name}", extra="train") for name in modules)


def ngrams(n_features: int) -> Any:
    """Make the union of the two kinds of n-grams."""
    pipeline, text = _sklearn("pipeline", "feature_extraction.text")
    hashed = {"n_features": n_features, "alternate_sign": False, "norm": None, "dtype": np.float32}
    return pipeline.make_union(
        text.HashingVectorizer(analyzer="char", ngram_range=(2, 4), **hashed),
        text.HashingVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", **hashed),
    )


class BagOfWordsSvc(Fitted):
    """Words, tf-idf, linear support vector machine: the classic row of published tables.

    The margin is no log-odds, so it gives no probabilities; 0 parts the classes.

    >>> rival = BagOfWordsSvc().fit(["so good", "as an AI"], [0, 1])
    >>> bool(rival.score(["an AI"])[0] > 0)
    True
    """

    name = "bag-of-words-svc"
    logits = False
    decision: ClassVar[float] = 0.0

    def __init__(self, *, seed: int = 0) -> None:
        pipeline, text, svm = _sklearn("pipeline", "feature_extraction.text", "svm")
        machine = svm.LinearSVC(random_state=seed)
        super().__init__(pipeline.make_pipeline(text.TfidfVectorizer(), machine))


class _Linear(Fitted):
    """Logistic regression on standardised features, and their products up to a degree."""

    degree: ClassVar[int] = 1

    def __init__(self) -> None:
        pipeline, scale, linear = _sklearn("pipeline", "preprocessing", "linear_model")
        powers = scale.PolynomialFeatures(self.degree, include_bias=False)
        classifier = linear.LogisticRegression(class_weight="balanced", max_iter=1_000)
        super().__init__(pipeline.make_pipeline(scale.StandardScaler(), powers, classifier))


class Stylometry(_Linear):
    """A handful of countable habits (see `style`), standardised, logistic regression.

    >>> people, machines = ["omg SO good!!", "no way lol"], ["It is, indeed, good.", "It is so."]
    >>> rival = Stylometry().fit(people + machines, [0, 0, 1, 1])
    >>> rival.score(["It is, of course, fine."]).shape
    (1,)
    """

    name = "stylometry"

    def _inputs(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([list(style(text).values()) for text in texts], dtype=np.float64)


class LengthOnly(_Linear):
    """The logarithm of the number of characters and its square: what length alone gives away.

    >>> rival = LengthOnly().fit(["a", "ab", "a" * 99, "a" * 80], [0, 0, 1, 1])
    >>> bool(rival.score(["a" * 90])[0] > 0)
    True
    """

    name = "length"
    degree = 2

    def _inputs(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.log1p([[len(text)] for text in texts])


class Constant(Fitted):
    """The same logit for every text, the training labels' log-odds: what knowing nothing gives.

    >>> Constant().fit(["a", "b"], [0, 1]).score(["c", "d"]).tolist()
    [0.0, 0.0]
    """

    name = "constant"

    def __init__(self) -> None:
        (dummy,) = _sklearn("dummy")
        super().__init__(dummy.DummyClassifier(strategy="prior"))

    def _logits(self, inputs: Any) -> Any:
        human, machine = self._model.predict_log_proba(inputs).T
        return machine - human


def style(text: str) -> dict[str, float]:
    """Count a text's habits, by name; 0 where there is nothing to count.

    Words are runs of letters, and single Chinese, Japanese or Korean characters. Function words are
    English; the type-token ratio falls as a text gets longer, for which `log_words` makes up.

    >>> {name: round(value, 2) for name, value in style("It is. It WAS, in 2020!").items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'word_length': 2.2, 'type_token_ratio': 0.8, 'punctuation': 0.13, 'digits': 0.17,
     'function_words': 1.0, 'sentence_length': 2.5, 'sentence_spread': 0.5, 'upper_case': 0.45,
     'non_ascii': 0.0, 'log_words': 1.79}
    """
    words = _WORD.findall(text)
    lower = [word.lower() for word in words]
    sentences = [n for part in _SENTENCE_END.split(text) if (n := len(_WORD.findall(part)))]
    letters = [char for char in text if char.isalpha()]
    marks = [char for char in text if not char.isalnum() and not char.isspace()]
    return {
        "word_length": _share(sum(map(len, words)), len(words)),
        "type_token_ratio": _share(len(set(lower)), len(words)),
        "punctuation": _share(len(marks), len(text)),
        "digits": _share(sum(map(str.isdigit, text)), len(text)),
        "function_words": _share(sum(word in _FUNCTION_WORDS for word in lower), len(words)),
        "sentence_length": float(np.mean(sentences or [0])),
        "sentence_spread": float(np.std(sentences or [0])),
        "upper_case": _share(sum(map(str.isupper, letters)), len(letters)),
        "non_ascii": _share(sum(not char.isascii() for char in text), len(text)),
        "log_words": float(np.log1p(len(words))),
    }


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


BASELINES: Final = {
    kind.name: kind for kind in (BagOfWords, BagOfWordsSvc, Stylometry, LengthOnly, Constant)
}
"""Baseline by name."""
