"""What the 51 predicates of Commerce Layer mean, said slowly and plainly: one value, one predicate, true or false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

# The list of the contract, in its order.
NAMES = (
    "eq eq_or_null not_eq not_eq_or_null matches does_not_match matches_any matches_all does_not_match_any "
    "does_not_match_all lt lteq gt gteq present blank null not_null in in_or_null not_in not_in_or_null lt_any "
    "lteq_any gt_any gteq_any lt_all lteq_all gt_all gteq_all not_eq_all start not_start start_any start_all "
    "not_start_any not_start_all end not_end end_any end_all not_end_any not_end_all cont not_cont cont_any cont_all "
    "not_cont_all jcont true false"
)
CONTRACT = NAMES.split()
FLAGS = {"present", "blank", "null", "not_null", "true", "false"}
BLANK = " \t\n\v\f\r"


def like(text: str, pattern: str) -> bool:
    """SQL's LIKE, read character by character: `%` any run, `_` any one, a backslash takes the meaning away."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "%":
        return any(like(text[start:], rest) for start in range(len(text) + 1))
    if head == "\\":
        head, rest = rest[0], rest[1:]
    elif head == "_":
        return text != "" and like(text[1:], rest)
    return text.startswith(head) and like(text[1:], rest)


def holds(document: Any, wanted: Any) -> bool:
    """PostgreSQL's `@>`: objects hold the wanted members, lists the wanted elements in any order and number."""
    if isinstance(document, dict) and isinstance(wanted, dict):
        return all(key in document and holds(document[key], wanted[key]) for key in wanted)
    if isinstance(document, list) and isinstance(wanted, list):
        return all(any(holds(element, one) for element in document) for one in wanted)
    return type(document) is type(wanted) and not isinstance(document, dict | list) and document == wanted


# Each said of a value that is there, and of one that is asked for.
ONE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "not_eq": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "start": lambda text, asked: text.startswith(asked),
    "end": lambda text, asked: text.endswith(asked),
    "cont": lambda text, asked: asked in text,
    "matches": like,
    "does_not_match": lambda text, asked: not like(text, asked),
    "not_start": lambda text, asked: not text.startswith(asked),
    "not_end": lambda text, asked: not text.endswith(asked),
    "not_cont": lambda text, asked: asked not in text,
    "jcont": holds,
}


def meets(predicate: str, stored: Any, asked: Sequence[Any]) -> bool:
    """Whether a row with this value is found; `asked`: the values, of a flag True or False."""
    if predicate in FLAGS:
        return (
            _flag(predicate, stored) is asked[0]
            if predicate not in {"true", "false"}
            else _truth(predicate, stored, asked[0])
        )
    if predicate.endswith("_or_null"):
        return stored is None or meets(predicate.removesuffix("_or_null"), stored, asked)
    if stored is None:
        return False
    if predicate == "in":
        return any(stored == one for one in asked)
    if predicate == "not_in":
        return all(stored != one for one in asked)
    if predicate.endswith("_any"):
        return any(ONE[predicate.removesuffix("_any")](stored, one) for one in asked)
    if predicate.endswith("_all"):
        return all(ONE[predicate.removesuffix("_all")](stored, one) for one in asked)
    return ONE[predicate](stored, asked[0])


def _flag(predicate: str, stored: Any) -> bool:
    nothing = stored is None
    blank = nothing or (isinstance(stored, str) and not stored.strip(BLANK))
    return {"null": nothing, "not_null": not nothing, "blank": blank, "present": not blank}[predicate]


def _truth(predicate: str, stored: Any, asked: bool) -> bool:
    return stored is ((predicate == "true") is asked)
