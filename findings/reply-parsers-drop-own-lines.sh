#!/usr/bin/env bash
# email-reply-parser and mail-parser-reply: one drops a post's own lines, the other keeps the quoted ones.
#
# One expects: both return what the author wrote: a quoted line ("> …", as Reddit and forums write it) goes,
#   the author's list of points stays.
# What happens: email-reply-parser takes a last paragraph that begins with "-word" for a signature
#   and drops it whole; a post that begins "On …" and has "wrote:" ends as the empty string.
#   mail-parser-reply keeps all these, and keeps "> …" as well where no mail header stands before it.
#   Neither's answer is the author's text on all four posts.
# Source: email_reply_parser/__init__.py, SIG_REGEX = r'(--|__|-\w)|…' and QUOTE_HDR_REGEX 'On.*wrote:$';
#   zapier/email-reply-parser issue #30 (the signature's expression) is open since 2017.
#   alfonsrv/mail-parser-reply issue #11 was the same for its lists, now closed.
# Why it matters here: these are the libraries at hand for taking quotes out of posts before scoring. A
#   post's own half lost, or somebody else's words scored under this author's name, moves the verdict.
# Guess before running: email-reply-parser keeps "-first point", since no mail client writes such a
#   signature, and both drop "> …".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
  email-reply-parser==0.5.12 mail-parser-reply==1.36
"$work/venv/bin/python" - <<'P'
from importlib.metadata import version

from email_reply_parser import EmailReplyParser as Zapier
from mailparser_reply import EmailReplyParser as Other

print("email-reply-parser", version("email-reply-parser"), "mail-parser-reply", version("mail-parser-reply"))
#        the post                                             what its author wrote
posts = {
    "quote": ("> is the bridge open?\nYes, since noon.", "Yes, since noon."),
    "points": ("On the walk:\n\n-two herons\n-one fox", "On the walk:\n\n-two herons\n-one fox"),
    "on": ("On the bus someone wrote:\nmind the step", "On the bus someone wrote:\nmind the step"),
    "plain": ("Soup again, and I am glad.", "Soup again, and I am glad."),
}
seen = {}
for name, (text, own) in posts.items():
    answers = Zapier.parse_reply(text), Other(languages=["en"]).parse_reply(text=text)
    seen[name] = tuple(answer.strip() == own for answer in answers)
    print(f"{name:7} {answers[0]!r} | {answers[1]!r} | right: {seen[name]}")
assert seen == {
    "quote": (True, False), "points": (False, True),
    "on": (False, True), "plain": (True, True),
}, seen
# After a mail's header it does go:
mail = "Yes.\n\nOn Mon, 1 Jan 2024 at 10:00, Ann <ann@mail.example> wrote:\n> is the bridge open?"
assert Other(languages=["en"]).parse_reply(text=mail).strip() == "Yes."
assert Zapier.parse_reply(posts["on"][0]) == ""
print("as found: one loses the author's words, the other keeps another's")
P
