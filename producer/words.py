"""Texts as words: folding, splitting, and phrases as patterns over one symbol per word.

A text becomes a string with one symbol per word, the same symbol for all words that no rule tells
apart, and phrases become RE2 patterns over these symbols. "Within two words" is then two steps of
an automaton instead of any number of characters, and the size of the automaton depends on the
phrases, hardly on the vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product, repeat
from typing import Final, TypeAlias

from producer.rules.model import Element, Gap, Maybe, Opening, Phrase

WordGroup: TypeAlias = tuple[bytes, ...]

# U+0300..036F. Each pattern begins with one certain byte, which makes the search for it fast.
_COMBINING_MARKS: Final = (re.compile(rb"\xcc[\x80-\xbf]"), re.compile(rb"\xcd[\x80-\xaf]"))
# U+00A0..00BF and U+2000..207F: spaces, quotation marks, dashes, inverted question marks.
_PUNCTUATION: Final = (re.compile(rb"\xc2[\xa0-\xbf]"), re.compile(rb"\xe2[\x80\x81][\x80-\xbf]"))
_ASCII_WORD_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_+#")
_SPLIT: Final = bytes(
    byte if byte >= 0x80 or byte in _ASCII_WORD_BYTES else ord(" ") for byte in range(256)
)

# A symbol is two bytes, one of few first bytes and a second byte that can't be a first one.
_FIRST_BYTES: Final = range(0x01, 0x09)
_SECOND_BYTES: Final = range(0x20, 0x100)
_ANY_WORD: Final = r"(?:[\x01-\x08][\x20-\xff])"
_OTHER: Final = bytes((_FIRST_BYTES[0], _SECOND_BYTES[0]))  # a word that no phrase contains

# Words people put before what they really ask: "hi, could you please tell me who ..." is "who ...".
_COURTESY: Final = (
    "hi|hello|hey|hallo|bonjour|hola|ciao|olá|please|pls|bitte|ok|okay|so|and|now|then|also|but"
    "|thanks|can|could|would|will|you|i|we|m|d|s|re|need|want|wish|like|love|to|try|understand|see"
    "|find|out|help|me|us|let|just|quick|quickly|briefly|tell|know|remind|answer|wondering|curious"
    "|do|exactly|say|show|give"
)


def strip_marks(text: str) -> bytes:
    """UTF-8 of ``text`` without accents ("é" and "e" + accent both become "e"); never raises."""
    # A lone surrogate is legal in a JSON string but not in UTF-8.
    decomposed = unicodedata.normalize("NFD", text).encode("utf-8", "replace")
    for combining in _COMBINING_MARKS:
        decomposed = combining.sub(b"", decomposed)
    return decomposed


def fold(text: str) -> bytes:
    """The form in which texts are searched: caseless UTF-8 without accents; never raises."""
    if text.isascii():
        return text.lower().encode("ascii")
    return strip_marks(text.casefold())


def split(folded: bytes) -> list[bytes]:
    """The words of a folded text: runs of letters, digits, "_", "+" and "#" ("c++", "c#")."""
    if not folded.isascii():
        for punctuation in _PUNCTUATION:
            folded = punctuation.sub(b" ", folded)
    return folded.translate(_SPLIT).split()


class Lexicon:
    """The words of a set of phrases: turns texts into symbols and phrases into patterns."""

    def __init__(self, phrases: Iterable[Phrase]) -> None:
        # A word's roles: each list in which it stands alone; itself, if it is part of a group.
        roles: defaultdict[bytes, set[str | bytes]] = defaultdict(set)
        for words in _word_lists(phrases):
            for group in word_groups(words):
                for word in group:
                    roles[word].add(words if len(group) == 1 else word)
        # Sorted by role, the symbols of a list are mostly neighbours, and its pattern a few ranges.
        by_role: defaultdict[tuple[str, ...], list[bytes]] = defaultdict(list)
        for word, of_word in roles.items():
            by_role[tuple(sorted(map(str, of_word)))].append(word)
        symbols = map(bytes, product(_FIRST_BYTES, _SECOND_BYTES))
        next(symbols)  # _OTHER
        self._symbols: Final = {
            word: symbol
            for role, symbol in zip(sorted(by_role), symbols, strict=False)
            for word in by_role[role]
        }
        if len(self._symbols) < len(roles):
            raise ValueError(f"{len(by_role)} kinds of words are too many; widen _FIRST_BYTES")

    def encode(self, folded: bytes) -> bytes:
        """The symbols of the words of a folded text."""
        return b"".join(map(self._symbols.get, split(folded), repeat(_OTHER)))

    def regex(self, phrase: Phrase) -> bytes:
        """The phrase as RE2 syntax over symbols."""
        patterns = ("".join(map(self._element, pattern)) for pattern in phrase.patterns)
        return "|".join(patterns).encode()

    def _element(self, element: Element) -> str:
        match element:
            case Gap(at_most):
                return f"{_ANY_WORD}{{0,{at_most}}}"
            case Maybe(words):
                return f"{self._any_of(word_groups(words))}?"
            case Opening():
                return f"^{self._any_of(word_groups(_COURTESY))}*"
            case str():
                return self._any_of(word_groups(element))

    def _any_of(self, groups: Iterable[WordGroup]) -> str:
        """Any of the word groups; those that go on in the same way share a branch.

        One branch for each group would be correct too, but the automaton visits all branches of all
        phrases whenever it builds a state.
        """
        continuations: defaultdict[bytes, set[WordGroup]] = defaultdict(set)
        for first, *rest in groups:
            continuations[first].add(tuple(rest))
        branches: defaultdict[frozenset[WordGroup], list[bytes]] = defaultdict(list)
        for first in sorted(continuations):
            branches[frozenset(continuations[first])].append(first)
        return f"(?:{'|'.join(self._branch(firsts, rest) for rest, firsts in branches.items())})"

    def _branch(self, firsts: Iterable[bytes], continuations: frozenset[WordGroup]) -> str:
        seconds: defaultdict[int, set[int]] = defaultdict(set)
        for first_byte, second_byte in (self._symbols[word] for word in firsts):
            seconds[first_byte].add(second_byte)
        symbols = "|".join(
            f"{_escape([first_byte])}{_escape(sorted(seconds[first_byte]))}"
            for first_byte in sorted(seconds)
        )
        longer = continuations - {()}
        if not longer:
            return symbols
        return f"(?:{symbols}){self._any_of(longer)}{'?' if () in continuations else ''}"


def _escape(byte_values: Iterable[int]) -> str:
    codes = "".join(rf"\x{value:02x}" for value in byte_values)
    return f"[{codes}]"


def _word_lists(phrases: Iterable[Phrase]) -> Iterator[str]:
    yield _COURTESY
    for phrase in phrases:
        for pattern in phrase.patterns:
            for element in pattern:
                if isinstance(element, Maybe):
                    yield element.words
                elif isinstance(element, str):
                    yield element


@cache
def word_groups(words: str) -> tuple[WordGroup, ...]:
    """The word groups that a list stands for: (unit, test) and (unit, tests) for "unit tests?".

    Understands ``|``, groups in parentheses, and ``?`` after a character or a group.
    Raises ValueError for unbalanced parentheses and for alternatives without a word.
    """
    alternatives, rest = _expand(words)
    if rest or words.count("(") != words.count(")"):
        raise ValueError(f"word list {words!r} has an unbalanced parenthesis")
    groups = tuple(tuple(split(strip_marks(alternative))) for alternative in sorted(alternatives))
    if () in groups:
        raise ValueError(f"word list {words!r} has an alternative without a word")
    return groups


def _expand(source: str) -> tuple[set[str], str]:
    """Every string ``source`` stands for, up to its end or an unmatched ")", and what follows."""
    alternatives: set[str] = set()
    parts: list[set[str]] = []
    while source and source[0] != ")":
        char, source = source[0], source[1:]
        if char == "|":
            alternatives.update(map("".join, product(*parts)))
            parts = []
        elif char == "?":
            parts[-1] = parts[-1] | {""}
        elif char == "(":
            group, source = _expand(source)
            parts.append(group)
            source = source.removeprefix(")")
        else:
            parts.append({char})
    alternatives.update(map("".join, product(*parts)))
    return alternatives, source
