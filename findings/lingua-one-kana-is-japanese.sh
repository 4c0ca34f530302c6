#!/usr/bin/env bash
# lingua: one の in a Chinese post makes it Japanese, with confidence 1.0.
#
# One expects: a post of thirty Chinese characters with one の, written for fun as shop signs do, is
#   Chinese, or at least uncertain; the default mode is the accurate one.
# What happens: a rule decides before any statistics: Chinese and Japanese characters and nothing else
#   means Japanese. All others get 0.0, so no threshold on the confidence and no minimum relative distance
#   sorts it out. The same post with 的 is Chinese at 1.0; the Latin letters of "lol" don't matter.
# Source: the rule in pemistahl/lingua-rs (on which this package is built), detect_language_with_rules, as
#   told in its issue #406 ("If there are only Japanese, Chinese or None words …"); its effect on mixed
#   sentences in pemistahl/lingua-py issue #219, open.
# Why it matters here: the language picks the calibration and says whether a post is supported at all. One
#   character moves a Weibo post to another, and the full confidence hides it.
# Guess before running: in the fast low-accuracy mode it was seen to be Japanese at 1.0; in the default mode
#   it stays Japanese for a short post, no longer at 1.0, and a long one is Chinese.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check lingua-language-detector==2.1.1
"$work/venv/bin/python" - <<'P'
from importlib.metadata import version

from lingua import Language, LanguageDetectorBuilder

print("lingua-language-detector", version("lingua-language-detector"))
detectors = {
    "all": LanguageDetectorBuilder.from_all_languages(),
    "distance": LanguageDetectorBuilder.from_all_languages().with_minimum_relative_distance(0.9),
    "two": LanguageDetectorBuilder.from_languages(Language.CHINESE, Language.JAPANESE),
}
long = "今天天气很好我们去公园散步，晚上再一起做饭，周末还要去爬山，好{}"
posts = {  # the post → the language found
    long.format("的"): "CHINESE",
    long.format("の"): "JAPANESE",
    "今天去吃了好吃的面": "CHINESE",
    "今天去吃了好吃の面": "JAPANESE",
    "今天天气很好 lol": "CHINESE",
}
for name, builder in detectors.items():
    detector = builder.build()
    for post, expected in posts.items():
        found = detector.detect_language_of(post)
        best = detector.compute_language_confidence_values(post)[0]
        print(f"{name:8} {found.name if found else None} {best.value:.3f} {post}")
        assert (found.name, best.language, best.value) == (expected, found, 1.0)
print("as found: one character of thirty decides, at confidence 1.0")
P
