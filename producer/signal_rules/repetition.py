"""Has this been said or tried before? Comparisons of answers, requests and tool calls.

All compare sets of words of bounded texts, so their cost is bounded; longer texts only count if
they are equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cached_property
from typing import Final

from producer.signal_rules.exchange import Call, Output
from producer.words import fold, split

# A few lines of code or a query tell one call from another; an answer, its first pages.
MAX_ARGUMENT_CHARS: Final = 1_000
MAX_ANSWER_CHARS: Final = 4_000
# Parallel calls over many turns: each new one is compared with so many.
MAX_EARLIER_CALLS: Final = 20
# "Done." and "You are welcome!" may be said twice.
MIN_ANSWER_WORDS: Final = 5
# An answer that says an earlier one again keeps its words: all of a short one, and loses one of
# thirty of a longer one. It may apologise first.
ANSWER_WORDS_PER_LOST_WORD: Final = 30
MAX_ADDED_TO_ANSWER: Final = 0.15
# Share of common words above which two calls are almost the same.
SIMILAR_CALL: Final = 0.7
# Texts whose lengths differ by more can't have that many words in common, or hardly; comparing
# lengths first saves most of the work.
MIN_LENGTH_RATIO: Final = 0.6
# "Continue" and "next one" may be asked any number of times.
MIN_REQUEST_WORDS: Final = 3
# Of a long request a word may be lost when it is said again, of a short one none: "the capital of
# France" and "the capital of Spain" differ in one word. A word is two or three pairs of characters
# where no spaces divide, and words move.
WORDS_PER_LOST_WORD: Final = 10
PAIRS_PER_LOST_PAIR: Final = 6
# What says it again adds little: one word, or a quarter.
MAX_ADDED_SHARE: Final = 0.25
# The question that an answer ends with, and a courtesy behind it.
QUESTION_CHARS: Final = 200
# Longer texts are templates filled with documents: a new document is a new request.
MAX_REQUEST_CHARS: Final = 300
# "reverses" and "reverse" are one word, and so are most of the inflections of many languages. Other
# alphabets than the Latin have two bytes a letter.
STEM_LETTERS: Final = 5
# Words of up to three letters carry no content of their own, unless they are numbers.
MAX_FUNCTION_LETTERS: Final = 3

# What code has in nearly every line and prose hardly ever.
_CODE_SIGNS: Final = re.compile(r"[={}\[\]]|\w\(|;\s*$")
_CJK_RUN: Final = re.compile(r"[぀-ヿ㐀-鿿가-힯]+")
# Longer words without content of their own.
_FUNCTION_WORDS: Final = frozenset(
    b"what which that this these those with from have will would could should please tell give"
    b" about there their they them then than when where does into your some want need know like"
    b" just also more very much many show make write create using please"
    b" eine einen einer eines dass diese dieser dieses nicht auch bitte kannst konnen konnten wie"
    b" dans avec pour pouvez peux cette cela vous nous quel quelle quels"
    b" para como puedes podria esta este esto cual quiero"
    b" voce pode poderia qual isso"
    b" puoi potresti questo questa sono della delle degli".split()
)

# Stems of what is asked for next about the same thing: tests, documents, a translation.
_NEW_WORK: Final = frozenset(
    b"test tests docum comme examp expla trans summa refac optim simpl compa".split()
)


def says_again(answer: str, earlier: Iterable[str]) -> bool:
    """Whether an answer repeats an earlier one: nearly the same words, and no new line of code.

    A corrected value or line is progress, however small.
    """
    words: set[bytes] | None = None
    for before in earlier:
        if not _similar_length(answer, before):
            continue
        if words is None:
            words = _words(answer[:MAX_ANSWER_CHARS])
        if len(words) < MIN_ANSWER_WORDS:
            return False
        if answer == before:
            return True
        if max(len(answer), len(before)) > MAX_ANSWER_CHARS:
            continue
        words_before = _words(before)
        added = words - words_before
        if (
            len(words_before - words) <= len(words_before) // ANSWER_WORDS_PER_LOST_WORD
            and len(added) <= MAX_ADDED_TO_ANSWER * len(words)
            and not any(map(_has_digit, added))
            and not _new_code(answer, before)
        ):
            return True
    return False


def asks(answer: str) -> bool:
    """Whether an answer ends by asking something, so that "no" is an answer to that."""
    return any(mark in answer[-QUESTION_CHARS:] for mark in ("?", "？"))


def asks_again(request: str, earlier: str) -> bool:
    """Whether a request says an earlier one in other words: all of its content, little besides."""
    if not _similar_length(request, earlier):
        return False
    if len(request) > MAX_REQUEST_CHARS or len(earlier) > MAX_REQUEST_CHARS:
        return request == earlier
    words, words_before = content_words(request), content_words(earlier)
    if len(words_before) < MIN_REQUEST_WORDS:
        return False
    added = words - words_before
    if len(added) > max(1, MAX_ADDED_SHARE * len(words)) or added & _NEW_WORK:
        return False
    lost_pairs = sum(map(_is_cjk, words_before - words))
    lost_words = len(words_before - words) - lost_pairs
    pairs = sum(map(_is_cjk, words_before))
    return (
        lost_words <= (len(words_before) - pairs) // WORDS_PER_LOST_WORD
        and lost_pairs <= pairs // PAIRS_PER_LOST_PAIR
    )


def content_words(text: str) -> set[bytes]:
    """The stems of the words that carry content; pairs of characters where no spaces divide."""
    words: set[bytes] = set()
    if not text.isascii():
        for run in _CJK_RUN.findall(text):
            words.update(run[i : i + 2].encode() for i in range(len(run) - 1))
        text = _CJK_RUN.sub(" ", text)
    for word in split(fold(text)):
        letter_bytes = 1 if word.isascii() else 2
        if _has_digit(word):
            words.add(word)
        elif len(word) > MAX_FUNCTION_LETTERS * letter_bytes and word not in _FUNCTION_WORDS:
            words.add(word[: STEM_LETTERS * letter_bytes])
    return words


class Repeat(IntEnum):
    """How a call relates to the calls before it."""

    NONE = 0
    SIMILAR = 1  # the same tool, almost the same arguments
    SAME = 2  # the same tool, the same arguments, however they are written down


def repeats_of(calls: Sequence[Call], earlier: Sequence[Call]) -> set[Repeat]:
    """How each call relates to those before it: its closest relation. The latest come first."""
    made = [_Made(call) for call in (*calls, *earlier[:MAX_EARLIER_CALLS])]
    return {
        max(
            (_relation(made[number], before) for before in made[number + 1 :]),
            default=Repeat.NONE,
        )
        for number in range(len(calls))
    }


class _Made:
    """A call with what is needed to compare it, worked out once and when needed."""

    def __init__(self, call: Call) -> None:
        self.call: Final = call

    @cached_property
    def words(self) -> set[bytes]:
        return _words(self.call.arguments)

    @cached_property
    def value(self) -> object:
        """The JSON value of the arguments, or their text; white space does not count."""
        try:
            return json.loads(self.call.arguments)
        except (ValueError, RecursionError):
            return self.call.arguments.split()


def _relation(now: _Made, before: _Made) -> Repeat:
    if now.call == before.call:
        return Repeat.SAME
    (tool, arguments), (tool_before, arguments_before) = now.call, before.call
    if (
        tool != tool_before
        or not _similar_length(arguments, arguments_before)
        or max(len(arguments), len(arguments_before)) > MAX_ARGUMENT_CHARS
    ):
        return Repeat.NONE
    if now.words == before.words and now.value == before.value:
        return Repeat.SAME
    shared = len(now.words & before.words)
    return Repeat(shared >= SIMILAR_CALL * len(now.words | before.words))


def same_outputs(outputs: Iterable[Output], earlier: Sequence[Output]) -> bool:
    """Whether each output was seen before. Empty ones don't count: many tools succeed silently."""
    telling = [output for output in outputs if output.text and not output.text.isspace()]
    return bool(telling) and all(output in earlier for output in telling)


def news(outputs: Sequence[Output], earlier: Sequence[Output]) -> bool:
    """Whether tools answered, and nothing of it was seen before."""
    return bool(outputs) and not any(output in earlier for output in outputs)


def _similar_length(one: str, other: str) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    return shorter >= MIN_LENGTH_RATIO * longer > 0


def _words(text: str) -> set[bytes]:
    return set(split(fold(text)))


def _new_code(answer: str, before: str) -> bool:
    lines = {line.strip() for line in before.splitlines()}
    return any(
        line.strip() not in lines and _CODE_SIGNS.search(line) for line in answer.splitlines()
    )


def _is_cjk(word: bytes) -> bool:
    return word[0] >= 0xE3


def _has_digit(word: bytes) -> bool:
    return any(48 <= byte <= 57 for byte in word)
