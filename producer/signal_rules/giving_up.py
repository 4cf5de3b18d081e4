"""Disengagement in English: the user gives up, or asks for a human.

"Cancel the order", "abort the job", "an agent that talks to people" are tasks. Giving up opens the
message or is said in the first person; asking for a human names the wish and the human.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Cue, Maybe, Weights, any_of, mark, phrase
from producer.signal_rules.names import ACCEPTANCE, Signal

_FOR: Final[str] = Signal.DISENGAGEMENT
_GIVES_UP: Final[Weights] = {_FOR: 3, Signal.SATISFACTION: -4}

_ELSEWHERE: Final = any_of(
    "myself|ourselves|elsewhere|someone else|somebody else|chatgpt|claude|gemini|gpt",
    "stack ?overflow|on my own|by hand|a colleague|a real|an actual",
    "(another|a different) (ai|model|assistant|bot|tool|service|provider|company)",
)
_HUMAN: Final = any_of(
    "human|humans|human being|real person|person|representative|rep|operator|manager|supervisor",
    "agent|support team|advisor|associate|someone|somebody|one of your (colleagues|people)",
)
_REAL: Final = Maybe("real|actual|live|human|customer|support|service|different")

CUES: Final[tuple[Cue, ...]] = (
    phrase(
        "forget_it",
        _GIVES_UP,
        (
            OPENING,
            any_of(
                "never ?mind|nvm|forget (it|this|about (it|this|that)|that)|screw (it|this|you)",
                "drop it|skip it|leave it|stop it|enough|whatever|i quit|i m (done|out|leaving)",
                "i am done|forget i (asked|said)",
                "stop (now|here)|let s (stop|leave it|drop|call it|forget)",
                "this is (pointless|hopeless|ridiculous|useless|a joke|going nowhere|frustrating)",
                "it s (hopeless|pointless|useless|no use)",
                "(you are|you re) (useless|hopeless|no help|pointless|not helping|stupid|dumb)",
            ),
        ),
        "i give up|i m giving up|just forget (it|this)|forget it then",
        "not worth (it|my|the (effort|time))",
        "i don t want to (do this|continue|go on|try)( this)? (anymore|any ?more)",
        "(this|it) is hopeless",
        "waste of (my |our )?time|wasting my time|going nowhere|getting (us |me )?nowhere",
        "had enough|fed up|sick of (this|it|you)|tired of (this|it|you)|lost (my )?patience",
        "(this|it|that) is (useless|pointless|hopeless|a joke)|don t have time for this|i m done",
        "(cancel|end|close) (this|the) (chat|conversation|session)|there s no point",
        "no point (in )?(continuing|going on|anymore)|you re useless|you are useless",
    ),
    mark(
        "stop_alone",
        {_FOR: 3},
        r"^\W*(?:please |just )?(?:stop|cancel|abort|quit|exit|enough|forget it|never ?mind|bye)"
        r"(?: it| that| this| please| now)?\W*$",
        r"^\W*(?:(?:an? |real |live |the )*(?:human|agent|person|representative|operator"
        r"|manager))(?: please| now)?\W*$",
    ),
    phrase(
        "do_it_myself",
        _GIVES_UP,
        (
            "i ll|i will|i d rather|i better|i should|i m (just )?going to|i have to|we ll|let me",
            Maybe("just|then|rather|probably|better"),
            any_of(
                "do|write|fix|figure|handle|solve|look|find|search|finish|try|sort|manage|code",
                "debug|work|book|call|ask|go|use|check",
            ),
            Maybe("it|this|that|the rest|for it|with|back to"),
            Maybe("out|up|another way|another solution|something else"),
            _ELSEWHERE,
        ),
        "(i ll|i m going to|i m just going to|i will|let me) (just )?google",
        "(i ll|i will) (just )?call (support|them|someone|customer service)",
        "(switch to|go (back )?to) (chatgpt|claude|gemini|gpt|another (ai|model|assistant|bot))",
        "(ask|try|use) (someone else|another (ai|model|assistant|bot)|a (better|different) ai)",
    ),
    phrase(
        "ask_for_human",
        {_FOR: 4},
        (
            any_of(
                "(talk|speak|chat) (to|with)|escalate this to|(transfer|hand|forward) (this|it) to",
                "(connect|transfer|forward|put|pass|hand) me (to|with|through to|over to|over)",
                "get me|can you get",
            ),
            Maybe("a|an|the|some|your|any"),
            _REAL,
            Maybe("live|service|care|support"),
            _HUMAN,
        ),
        (
            "i (need|want)|i would (like|prefer)|i d (like|prefer)|give me|is there",
            Maybe("a|an|any"),
            any_of(
                "human|human being|human agent|(human |customer )?representative|supervisor",
                "(real|live|actual) (person|agent|human)",
            ),
        ),
        "is there (someone|anyone|somebody) (else|above|i can)|hand me over",
        "real (person|human)|actual (person|human)|human (agent|representative|operator)",
        "live agent|someone (who can actually|competent)|your (supervisor|manager|boss)",
        "(anyone|anybody|any) human|human (there|here|around|support|help|please)",
    ),
    mark(
        "acceptance",
        {ACCEPTANCE: 2},
        r"^\W*(?:(?:i see|ok(?:ay)?|alright|well)\W+)?"
        r"(?:yes|yeah|yep|sure|please do|go ahead|ja|oui|si|sim)\b",
        "^(?:да|是的|好的|はい|네)",
    ),
    # --- tasks ------------------------------------------------------------------------------------
    phrase(
        "human_as_topic",
        {_FOR: -4},
        (
            _HUMAN,
            "resources|rights|body|history|readable|brain|anatomy|error|nature|that|which|who",
        ),
        "never mind the|user agents?|real estate|agent(s)? (that|which|based)|task manager",
        "package manager",
    ),
    phrase(
        "task_first",
        {_FOR: -3, Signal.SATISFACTION: -2, Signal.MISALIGNMENT: -2},
        (
            OPENING,
            any_of(
                "write|create|implement|build|generate|develop|make|design|draft|compose|add",
                "translate|explain|describe|summari(s|z)e|list|define|classify|extract|convert",
                "refactor|review|calculate|rewrite|parse|prove|solve|update|given|suppose",
                "plan|analy(s|z)e|compare|paraphrase|proofread|edit|set up|name|role ?play|imagine",
            ),
        ),
    ),
    phrase(
        "question_first",
        {_FOR: -3, Signal.SATISFACTION: -2},
        (
            OPENING,
            "what (is|are|does|do|s)|how (do|does|should|would|to|is|are)|why|when|where|who|which",
        ),
    ),
    mark(
        # 'Translate: "..."': what follows the colon is not said to the assistant.
        "quotation",
        {_FOR: -2, Signal.SATISFACTION: -2},
        r"^[^\n.!?:]+:\s*(?:[\"'`\n]|“|«|$)",
    ),
)
