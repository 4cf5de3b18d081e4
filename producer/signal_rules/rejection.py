"""Misalignment in English: the user rejects the answer before.

What is wrong must be the answer ("it", "that", "you"), not the user's own work ("my code fails")
and not the subject of a task ("explain why this is wrong", "find the mistake in this essay").
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Cue, Gap, Maybe, Weights, any_of, mark, phrase
from producer.signal_rules.names import DENIAL, Signal
from producer.signal_rules.praise import BE, GOOD, SUBJECT

_FOR: Final[str] = Signal.MISALIGNMENT
_REJECTS: Final[Weights] = {_FOR: 3, Signal.SATISFACTION: -4}

_BAD: Final = any_of(
    "wrong|incorrect|bad|false|inaccurate|broken|invalid|off|nonsense|terrible|awful|poor",
    "horrible|rubbish|garbage|unhelpful|unacceptable|misleading|outdated|buggy|inefficient",
    "unsuccessful|gibberish|flawed|worse|irrelevant|missing|empty",
)
_YOUR_WORK: Final = (
    "answer|approach|solution|response|reasoning|code|explanation|calculation|method"
)
_STILL: Final = Maybe(
    "still|also|completely|just|totally|plain|simply|clearly|all|now|even|factually"
)
_NOT: Final = (
    "not|isn t|wasn t|aren t|isnt|wasnt|doesn t|doesnt|does not|didn t|didnt|did not|won t"
)
_YOU: Final = "you|assistant|it"
_HAVE: Final = Maybe("have|ve|has|still|just|also|completely|again|are|re|is|s")

CUES: Final[tuple[Cue, ...]] = (
    phrase(
        "it_is_wrong",
        _REJECTS,
        (SUBJECT, BE, _STILL, _BAD),
        (_YOUR_WORK, Gap(4), BE, _STILL, _BAD),
        (OPENING, "the|your", Gap(2), "is|are|was|were|looks|seems", _STILL, _BAD),
        "opposite of (what|the)|not what i",
        "(giving|gives|gave|returns|returned|got|getting) (me )?(the )?(wrong|incorrect)",
        (
            SUBJECT,
            Maybe(BE),
            _STILL,
            _NOT,
            Maybe("a|the|quite|really|entirely|even|fully|exactly|yet"),
            any_of(
                GOOD,
                "true|what i|how i|working|enough|valid|complete|relevant|there yet|it",
                "fixed|solved|changed",
            ),
        ),
        (
            "that|this",
            "is|s|was|isn t|wasn t|isnt",
            Maybe("not"),
            "even close|how|the wrong|not the",
        ),
        ("that|this", "is|s|was", "not", "how|even|the|my|what|where|close|a good|an answer"),
        ("that|this|it", "is|s|was", "the wrong"),
        (
            SUBJECT,
            "doesn t|does not|didn t|don t",
            "look|seem|sound|feel",
            "right|correct|good|like|ok|fine",
        ),
        ("wrong|missing|incorrect|broken|off", "in|with", "your|that|the (last|previous)"),
        (SUBJECT, "makes no sense|doesn t make (any )?sense|does not make (any )?sense"),
        (
            OPENING,
            "still",
            any_of(
                "not|no|wrong|incorrect|fails?|failing|broken|the same|getting|doesn t|missing|bad",
                "does not|an error|errors|nothing",
            ),
        ),
    ),
    phrase(
        "it_fails",
        _REJECTS,
        (
            "it|that|this|code|solution|still|answer|fix|output|which",
            Maybe("still|just|also|now|again|code|solution|fix"),
            any_of(
                "fails|failed|crashes|crashed|breaks|broke|throws|raises|hangs|errors out",
                "gives? (me )?(an|the same|another) error",
            ),
        ),
        (
            "it|that|this|still|code|solution|which|answer|output|but|fix",
            Maybe("still|just|really|code|solution|fix|one|also"),
            "doesn t|doesnt|does not|didn t|didnt|did not|isn t|is not|won t|wont",
            Maybe("even|seem to|really|quite|actually|fully"),
            any_of(
                "work|working|worked|help|run|compile|match|answer|fix|solve|do|change|load|pass",
                "address|include|follow|handle|cover|support|account|consider|contain|mention|meet",
                "return",
            ),
        ),
        "(another|a new|the following) error",
        "(i|we) (still |now |just )?(get|got) (an|this|the) error",
        "i m getting (an|this|the)( same)? error",
    ),
    phrase(
        "still_fails",
        {_FOR: 5, Signal.SATISFACTION: -4},
        "(the |still the )?same (error|mistakes?|problem|issue|result|answer)( again| as before)?",
        any_of(
            "there (is|s|are) still (a|an|some)",
            "still (not|wrong|incorrect|fails?|failing|broken|getting|doesn t|does not|isn t)",
            "still (is not|the same|missing|seeing|making|have the|an error|says|shows|too|no)",
            "still (off|red)",
        ),
    ),
    mark(
        "it_raises",
        {_FOR: 2, Signal.SATISFACTION: -4},
        r"\b(?:it|this|that|code|which|now) (?:still )?(?:gives?|gave|throws?|threw|raises?"
        r"|returns?|shows?|says?)(?: me)? (?:an?|the|another)(?: same| new)? \S*(?:error"
        r"|exception)\b",
    ),
    phrase(
        # What fails may be the user's own: "my code throws ...".
        "own_work",
        {_FOR: -5},
        (
            "my|our|the following",
            any_of(
                "code|script|program|app|function|query|server|tests?|build|solution|answer|essay",
                "website|page|application|project|class|method|model|computer|phone|proof|report",
            ),
            Gap(1),
            any_of(
                "fails?|throws|doesn t|does not|isn t|is|was|crashes|gives|returns|raises|breaks",
                "hangs|says|won t|keeps|shows|still",
            ),
        ),
    ),
    phrase(
        "you_erred",
        _REJECTS,
        (
            _YOU,
            _HAVE,
            any_of(
                "misunderst(ood|and|anding)|misread|misinterpret(ed|ing)?|missed|forgot|forgotten",
                "ignored|ignoring|skipped|overlooked|left out|omitted|mixed up|confused",
                "contradict(ed|ing|s)?|hallucinat(ed|ing)|made (that|this|it) up|failed to",
                "got (it|that|this|me) wrong|confusing|wrong|incorrect|mistaken",
                "repeat(ed|ing) (yourself|the)",
                "keep (doing|making|giving|saying|using|repeating|getting)",
            ),
        ),
        ("you", Gap(2), "the wrong"),
        ("you", "got|have|had", Gap(3), "mixed up|backwards|reversed|wrong"),
        (
            "that|this|the",
            "function|method|package|library|file|page|paper|option|command|link",
            "doesn t exist|does not exist",
        ),
        (
            "you (gave|wrote|provided|suggested|posted|sent|made|shared|used)",
            Maybe("me|us"),
            Maybe("is|was"),
            any_of(_BAD, "fails?|failed|doesn t|does not|didn t|isn t|is not|crashes|throws"),
        ),
        (
            _YOU,
            _HAVE,
            "made|make|making|makes|repeated|repeating",
            Gap(2),
            "mistakes?|errors?|typo",
        ),
        (
            "you|assistant|model",
            any_of(
                "didn t|didnt|did not|haven t|have not|has not|hasn t|are not|aren t|re not|is not",
                "still haven t|still have not|still don t|still didn t|not",
            ),
            Maybe("even|actually|really|yet|fully|correctly|been able to"),
            any_of(
                "answer|answered|address|addressed|follow|followed|include|included|read|listen",
                "understand|understood|do|done|use|used|mention|mentioned|give|given|provide",
                "provided|change|changed|fix|fixed|consider|considered|correct|corrected|find",
                "found|complete|completed|check|checked|handle|following|listening|answering",
                "understanding|using|reading|able",
            ),
        ),
        ("you|assistant|it", "should (have|not have|ve)|shouldn t have|(were|was) supposed to"),
        "did you (even|actually) (read|look|check|test|try|see)|making (things|stuff) up",
        "you (said|told me) (the opposite|something else|otherwise)",
        "you only (fixed|did|gave|answered)",
        "why (did|didn t|are|do|don t) you|stop (doing|using|adding|repeating|saying|making)",
        "contradicts? (what|your|yourself)|stop apologi(s|z)ing",
        "(don t|stop) repeat(ing)? (yourself|the)|(your|the same) mistakes?",
        "(mistakes?|errors?|bugs?) in your",
    ),
    phrase(
        "errors_as_task",
        {_FOR: -4, DENIAL: -2},
        (
            any_of(
                "why|how|whether|if|where|explain|what|when|identify|find|suppose|assume|which",
                "determine|spot|locate|fix|says?|saying",
            ),
            Gap(4),
            any_of(_BAD, "mistakes?|errors?|bugs?|fails?|failing|crashes|misunderstood|missed"),
        ),
        (
            "why|whether|if|when|suppose|assume|explain|what happens",
            Gap(1),
            "doesn t|does not|isn t|is not|didn t|did not|it should",
        ),
    ),
)
