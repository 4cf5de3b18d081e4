"""What a classification rule is: a cue in the text, or a pair of cues that mean more together.

A cue is a :class:`Phrase` over words or a :class:`Mark` over characters. Its weights map request
types to evidence: 1 is a hint, 2 is enough alone, 4 and more is an explicit ask, negative speaks
against. A cue without weights only takes part in pairs.

Phrases are short: a verb, its object, at most a few words between them. What may stand anywhere in
the text is a :class:`Pair`: "this and, somewhere later, that" inside one pattern would multiply the
states of the automaton (measured: 440 us a prompt instead of 20).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of the text; courtesies ("hi, could you please tell me") are skipped."""


@dataclass(frozen=True, slots=True)
class Maybe:
    """One of these words, or nothing."""

    words: str


@dataclass(frozen=True, slots=True)
class Gap:
    """At most this many words, whatever they are."""

    at_most: int


# A string is a list of words and word groups, any of them: "unit tests?|stor(y|ies)".
Element: TypeAlias = str | Maybe | Gap | Opening
Pattern: TypeAlias = str | tuple[Element, ...]
Weights: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in sequence; any of the patterns counts, once."""

    name: str
    weights: Weights
    patterns: tuple[tuple[Element, ...], ...]

    @property
    def is_list(self) -> bool:
        """Whether it is found by looking at one list of words only."""
        return all(len(pattern) == 1 for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters, as RE2 syntax over folded UTF-8 bytes: code, notation, scripts without spaces.

    Written in lower case. A non-ASCII character is several bytes: it can stand neither in a
    character class nor, ungrouped, before a repetition.
    """

    name: str
    weights: Weights
    regexes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Evidence of two cues: any of ``one_of`` and any of ``with_any``, anywhere in the text."""

    name: str
    weights: Weights
    one_of: tuple[str, ...]
    with_any: tuple[str, ...]


Cue: TypeAlias = Phrase | Mark


def phrase(name: str, weights: Weights, *patterns: Pattern) -> Phrase:
    """A cue over words; patterns that are plain lists of words become one list."""
    lists = [pattern for pattern in patterns if isinstance(pattern, str)]
    sequences = [pattern for pattern in patterns if not isinstance(pattern, str)]
    return Phrase(name, weights, ((any_of(*lists),), *sequences) if lists else tuple(sequences))


def mark(name: str, weights: Weights, *regexes: str) -> Mark:
    return Mark(name, weights, regexes)


def any_of(*alternatives: str) -> str:
    """Lists of words joined into one."""
    return "|".join(alternatives)


OPENING: Final = Opening()

# One list of verbs for whatever is made: a list for each object would multiply the states.
_MAKE: Final = any_of(
    "write|create|implement|build|generate|develop|code|make|produce|program|give|show|provide",
    "add|define|complete|finish|refactor|port|extend|optimi(s|z)e|rewrite|convert|translate",
    "migrate|whip up|draft|compose|pen|author|prepare|craft|edit|revise|proofread|polish|improve",
    "shorten|expand|outline|narrate",
)
_RECEIVER: Final = Maybe("me|us|up")
_ARTICLE: Final = Maybe("a|an|the|some|this|that|my|our|your|these|those|one|two|three")


def made(nouns: str) -> tuple[tuple[Element, ...], ...]:
    """Patterns for the wish that one of ``nouns`` be made: the direct object of a making verb.

    A receiver, an article and two modifiers may stand between; short on purpose: "write an essay
    about the function of the heart" asks for an essay, not a function.
    """
    return (
        (_MAKE, _RECEIVER, _ARTICLE, Gap(2), nouns),
        ("need|want", "a|an|some", Gap(2), nouns),
    )
