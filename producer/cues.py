"""Finding cues in a text and weighing them: the classifier's engine, without any rule of its own.

Several RE2 sets each make one pass: over the characters for marks, over the words for lists of
words, and over the words for sequences of words, of which one set holds only so many. RE2 builds
the states of an automaton when a text needs them, and the states of a common automaton would be the
product of the separate ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Final

import re2

from producer.rules.model import Cue, Mark, Pair, Phrase
from producer.words import Lexicon, fold, strip_marks

# Ceiling of one automaton's states; RE2 starts again from none when it is reached.
_AUTOMATON_BYTES: Final = 32 * 2**20
# More sequences than that are spread over several automata. One for all feedback cues met so many
# states that moving its table of them, when it grew, took 2.4 ms of one request; three need half
# the memory, a third of the time for unmet words, and 1.5 us more for words met before.
_AUTOMATON_PATTERN_BYTES: Final = 18_000


class CueFinder:
    """Cues and pairs, compiled. Immutable and thread-safe.

    Raises ValueError for a rule that can't be compiled or that names an unknown cue or type.
    """

    def __init__(self, cues: Sequence[Cue], pairs: Sequence[Pair], types: Sequence[str]) -> None:
        phrases = [cue for cue in cues if isinstance(cue, Phrase)]
        lists = [phrase for phrase in phrases if phrase.is_list]
        sequences = [phrase for phrase in phrases if not phrase.is_list]
        marks = [cue for cue in cues if isinstance(cue, Mark)]
        self._lexicon: Final = Lexicon(phrases)
        self._lists: Final = _compile(map(self._lexicon.regex, lists))
        self._sequences: Final = tuple(
            _automata([self._lexicon.regex(phrase) for phrase in sequences], first=len(lists))
        )
        self._marks: Final = _compile(strip_marks("|".join(mark.regexes)) for mark in marks)
        self._first_mark: Final = len(phrases)

        numbered: tuple[Cue, ...] = (*lists, *sequences, *marks)
        self.names: Final = tuple(cue.name for cue in numbered)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"two cues have the same name, among {sorted(self.names)}")
        self._types: Final = tuple(types)
        self._weights: Final = tuple(self._entries(cue.name, cue.weights) for cue in numbered)
        self._pairs_of: Final = self._index(pairs)

    def _entries(self, name: str, weights: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
        if unknown := weights.keys() - set(self._types):
            raise ValueError(f"cue {name!r} weighs for unknown types {sorted(unknown)}")
        return tuple((self._types.index(kind), weight) for kind, weight in weights.items())

    def _index(self, pairs: Sequence[Pair]) -> tuple[tuple[_CompiledPair, ...], ...]:
        """For each cue the pairs that it can begin: (pair's bit, mask of partners, weights)."""
        number_of = {name: number for number, name in enumerate(self.names)}
        begun_by: list[list[_CompiledPair]] = [[] for _ in self.names]
        for position, pair in enumerate(pairs):
            if unknown := {*pair.one_of, *pair.with_any} - number_of.keys():
                raise ValueError(f"pair {pair.name!r} names unknown cues {sorted(unknown)}")
            partners = sum(1 << number_of[name] for name in set(pair.with_any))
            for name in pair.one_of:
                compiled = (1 << position, partners, self._entries(pair.name, pair.weights))
                begun_by[number_of[name]].append(compiled)
        return tuple(map(tuple, begun_by))

    def find(self, text: str) -> list[int]:
        """The numbers of the cues found in the text, each once, in no particular order."""
        folded = fold(text)
        symbols = self._lexicon.encode(folded)
        # RE2 answers None, not an empty list, when nothing matches.
        found: list[int] = self._lists.Match(symbols) or []
        for first, automaton in self._sequences:
            found += [first + n for n in automaton.Match(symbols) or ()]
        found += [self._first_mark + n for n in self._marks.Match(folded) or ()]
        return found

    def weigh(self, found: Iterable[int]) -> list[int]:
        """Evidence per type, in the order of the types."""
        evidence = [0] * len(self._types)
        mask = 0
        for number in found:
            mask |= 1 << number
        counted = 0
        for number in found:
            for kind, weight in self._weights[number]:
                evidence[kind] += weight
            for pair, partners, weights in self._pairs_of[number]:
                if mask & partners and not counted & pair:
                    counted |= pair
                    for kind, weight in weights:
                        evidence[kind] += weight
        return evidence


_CompiledPair = tuple[int, int, tuple[tuple[int, int], ...]]


def _automata(patterns: Sequence[bytes], first: int) -> Iterator[tuple[int, re2.Set]]:
    """The patterns in order, _AUTOMATON_PATTERN_BYTES an automaton: (its first number, it)."""
    sizes = accumulate(map(len, patterns))
    for _, group in groupby(zip(sizes, patterns, strict=True), _automaton_of):
        members = [pattern for _, pattern in group]
        yield first, _compile(members)
        first += len(members)


def _automaton_of(sized: tuple[int, bytes]) -> int:
    return sized[0] // _AUTOMATON_PATTERN_BYTES


def _compile(patterns: Iterable[bytes]) -> re2.Set:
    options = re2.Options()
    options.max_mem = _AUTOMATON_BYTES
    options.never_capture = True
    # Bytes, not code points: "." over UTF-8 costs a dozen states instead of one.
    options.encoding = re2.Options.Encoding.LATIN1
    patterns_set = re2.Set.SearchSet(options)
    for pattern in patterns:
        try:
            patterns_set.Add(pattern)
        except re2.error as error:
            raise ValueError(f"rule pattern {pattern!r} is not RE2 syntax") from error
    patterns_set.Compile()
    return patterns_set
