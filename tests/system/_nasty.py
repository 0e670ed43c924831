"""Texts that break careless writers of files, and careless readers."""

from __future__ import annotations

NASTY = [
    "",
    " ",
    "plain",
    'quote " and ""',
    "apostrophe ' and ''",
    "comma,comma",
    "line\nbreak",
    "return\rand both\r\n",
    "\ttab\t",
    "back\\slash \\n \\N \\. \\u0041",
    "\\.",
    "\\N",
    "NULL",
    "null",
    "\x01\x02\x07\x08\x0b\x0c\x1b\x1f\x7f",
    "separators \u2028 \u2029 \u0085 \ufeff",
    "accents éüñ, 中文, עברית, \u202e",
    "emoji 👩‍👩‍👧 🎉 \U0010ffff",
    "=1+1",
    "a;b|c",
    '"',
    ",",
    "\n",
    "{}",
    "[1,2]",
    "e\u0301 is not é",
    "x" * 20000,
]
