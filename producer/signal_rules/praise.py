"""Satisfaction in English: thanks, praise, "it works".

The same words stand in tasks ("translate 'thank you'", "nice names for a cat") and in refusals
("thanks, but ...", "not great"). So they count most where a message opens with them, and what
follows a negation, an "if" or precedes a "but" speaks against.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Cue, Gap, Maybe, any_of, mark, phrase
from producer.signal_rules.names import Signal

_FOR: Final[str] = Signal.SATISFACTION

_THANKS: Final = any_of(
    "thanks|thank you|thank u|thankyou|thx|tysm|many thanks|much appreciated|i appreciate|cheers",
    "appreciate (it|that|this|the|your)|kudos|bravo",
)
GOOD: Final = any_of(
    "good|great|nice|cool|neat|correct|right|accurate|helpful|useful|perfect|excellent",
    "awesome|amazing|brilliant|wonderful|fantastic|superb|beautiful|lovely|impressive|outstanding",
    "flawless|terrific|splendid|spot on",
)
_WORK: Final = "job|work|one|stuff|answer|catch|idea|explanation|start|solution|summary|example"
_FILLER: Final = Maybe(
    any_of(GOOD, "alright|yes|yeah|yep|oh|ah|wow|super|much|better|that|s|is|it|very|so")
)
# What the user says something about.
SUBJECT: Final = any_of(
    "this|that|it|which|everything|answer|response|solution|code|output|result|approach",
    "explanation|version|all|script|query|function|one",
)
BE: Final = "is|s|was|are|were|looks|look|looked|seems|sounds"
_VERY: Final = Maybe(
    "really|very|so|absolutely|just|now|all|much|exactly|totally|completely|pretty|quite|simply"
)

# The characters that end a thought; "great britain" goes on.
_PAUSE: Final = r"\s*(?:$|[.,!;:\n)-]|…|❤|🎉|👍|🙏|😊)"

CUES: Final[tuple[Cue, ...]] = (
    phrase("thanks_first", {_FOR: 3}, (OPENING, _FILLER, _FILLER, _THANKS)),
    phrase("thanks", {_FOR: 1}, _THANKS),
    mark(
        "thanks_last",
        {_FOR: 2},
        r"^[^?\n]*[.,!] ?(?:many |so )?"
        r"(?:thanks|thank you|thx|ty|danke|merci|gracias|obrigad[oa]|grazie)"
        r"(?: (?:a lot|so much|again|very much|schon|beaucoup|mille|dir|ihnen))?\W*$",
    ),
    # "Book it for Monday, thanks": a courtesy.
    phrase("please", {_FOR: -2}, "please|could you|can you|i need|i want|i d like"),
    mark(
        "praise_alone",
        {_FOR: 3},
        r"^\W*(?:(?:ok(?:ay)?|oh|ah|yes|yeah|yep|wow|haha|alright|and|well)\W+)*"
        r"(?:(?:that|this|it)(?:'s|’s| is| was| looks| sounds)? )?"
        r"(?:(?:really|very|so|absolutely|just|pretty|simply|quite) )?"
        r"(?:exactly|sweet|bingo|ty|thx|solved|fixed|works|hooray|hurray|yay|well done|perfectly"
        rf"|(?:{GOOD})(?: (?:{_WORK}|point))?){_PAUSE}",
        r"^\W*(?:yes|yep|yeah|correct|right)[,.! ]+(?:that's|that is|this is|exactly) (?:it|right"
        r"|correct|exactly|what)",
        r"^\s*(?:👍|🙏|🎉|❤|💯|😍)",
    ),
    phrase(
        "praise",
        {_FOR: 2},
        (SUBJECT, BE, _VERY, GOOD),
        ("answer|approach|solution|response|reasoning", Gap(4), BE, _VERY, GOOD),
        (SUBJECT, BE, "a|an|the|such", _VERY, GOOD, _WORK),
        (SUBJECT, "is|s|was", "exactly|just|precisely", "what|it|right|how"),
        (OPENING, Maybe("what"), "a|an|such", GOOD, _WORK),
    ),
    phrase(
        "praise_of_work",
        {_FOR: 2},
        "(good|great|nice|excellent|amazing|fantastic|brilliant) (job|work)|well done|nailed it",
        "you rock",
        "(you re|you are) (the best|awesome|amazing|a (genius|star|legend|lifesaver)|brilliant)",
        "love it|i (really |absolutely )?(love|like) (it|this|that|how)|this is gold",
        "(very|so|super|really) (helpful|useful|clear)",
        (OPENING, "(this|that) help(s|ed)"),
        (OPENING, Maybe("this|that|it|that s|it s|this is"), "much|way|far|so much", "better"),
        "(what|result|outcome|output) i (expected|hoped for)",
        "(this|that) help(s|ed) (a lot|me|very much|so much)|that was (quick|fast|easy)",
        ("you|assistant", Maybe("have|has|ve|were able to"), "correctly|successfully"),
        ("you", Maybe("have|ve"), "got it right|done (well|great|a great job)"),
    ),
    phrase(
        "it_works",
        {_FOR: 3},
        (
            "it|that|this|code|script|everything|all|solution|fix|query|which",
            Maybe("all|now|finally|also"),
            any_of(
                "works|worked|did it|does the job|(did|does) the trick|passes now|compiles now",
                "(fixed|solved) (it|the|my)|resolved it",
            ),
        ),
        "works (now|perfectly|great|fine|well|like a charm|flawlessly|beautifully)|working now",
        "(it runs|it compiles) now|(now|finally) it (runs|works|compiles)|yay it (runs|works)",
        "(problem|issue) (is )?(solved|resolved|fixed)|saved me|that answers (my|the)",
        "what i (needed|wanted|was looking for|asked for|had in mind)|that was the (problem|issue)",
    ),
    phrase(
        "understood", {_FOR: 1}, (OPENING, "got it|understood|i see|(that )?makes (perfect )?sense")
    ),
    # --- what speaks against ----------------------------------------------------------------------
    phrase(
        "not_praise",
        {_FOR: -5},
        (
            any_of(
                "not|isn t|isnt|wasn t|wasnt|aren t|never|hardly|nothing|neither|far from",
                "don t|doesn t|didn t|can t|won t|no longer|less than",
            ),
            Maybe("that|a|an|very|really|so|exactly|the|particularly|all|quite|entirely|think"),
            Maybe("that|very|is|it|this"),
            any_of(GOOD, "works?|working|worked|like|helps?|helped|what|sense|thanks"),
        ),
        "no (thanks|thank you)|thanks (in advance|anyway|for (nothing|trying))",
        "thank you (in advance|anyway|for (nothing|trying))",
        "would (be|have been) (a )?(good|great|nice|perfect|awesome|helpful|appreciated|better)",
        "(great|nice|good|helpful|better|cool|perfect) if",
        "thank you (note|letter|card|speech|email)",
        "(good|great|nice|perfect) (morning|evening|afternoon|to meet|day|for)",
    ),
    phrase(
        # "It was perfect until ...", "great, another bug".
        "taken_back",
        {_FOR: -3},
        "i wish|i thought|until|before you|(broke|broken|breaking|deleted)",
        "another (bug|error|problem)|works only|only works|(half|part) of the time",
    ),
    phrase(
        "if_it_works",
        {_FOR: -4},
        (
            "how|if|whether|when|why|where|ensure|sure|until|once|check|verify|does|did|explain",
            Maybe("that|how|my|the|your|this"),
            "it|that|this|everything|code|solution|all|script|function|query|fix",
            Maybe("all|really|also"),
            "works?|worked|working|fixed|solved|is|was|looks|passes|compiles|helps?",
        ),
    ),
    phrase(
        # "Nice try, but ...": what comes after "but" is what is meant.
        "praise_but",
        {_FOR: -4},
        (
            any_of(GOOD, _THANKS, "close|nearly|almost|better|works|worked|ok|okay|try|there"),
            Gap(3),
            "but|however|except|although|though|unfortunately|sadly",
        ),
        "(nice|good) try|not quite|almost (there|right)|nearly there",
    ),
)
