"""Did a tool fail, or meet a limit? By flag, by payload, or by what programs print when they fail.

A search result or a source file may speak of errors without being one. So the marks are tied to the
beginning of the output, to the beginning of a line, or to wording that only a failing program uses;
limits ("rate limit", "timeout") count only where the output is short or fails anyway.
"""

from __future__ import annotations

from typing import Final

from producer.cues import CueFinder
from producer.rules.model import Weights, any_of, mark
from producer.signal_rules.exchange import Output, window
from producer.signal_rules.names import Signal
from producer.signal_rules.payload import parse, reports_failure, status_of

# Request timeout, content too large, too many requests, unavailable, gateway timeout (RFC 9110,
# RFC 6585): the answer met a limit, whoever set it.
EXHAUSTION_STATUSES: Final = frozenset({408, 413, 429, 503, 504})

MIN_EVIDENCE: Final = 2
# Programs report what went wrong first or last.
OUTPUT_CHARS: Final = (700, 300)
# An error message is short; a page about rate limits is not.
MAX_MESSAGE_CHARS: Final = 400

_TYPES: Final = (Signal.FAILURE, Signal.EXHAUSTION)
_FAILS: Final[Weights] = {Signal.FAILURE: 2}

_STATUS: Final = r"408|413|429|503|504"
_SUBJECT: Final = any_of(
    "tool|function|command|action|request|query|operation|call|execution|script|build|job|task",
    "process|program|test|connection|authentication|authorization|validation|upload|download",
)
_DOING: Final = any_of(
    "executing|running|calling|invoking|while|during|in|from|at|code|occurred|fetching|reading",
    "writing|opening|loading|parsing|processing|performing|connecting|querying|evaluating|response",
)

# What a program says after its name and a colon.
_COMPLAINT: Final = any_of(
    "(?:invalid|unknown|missing|unrecognized|illegal|bad|too many) (?:shell )?(?:[a-z]+ )?"
    "(?:options?|arguments?|operands?|mode|date|number|predicate|commands?|user|substitution|file)",
    "(?:invalid|unrecognized|illegal) \\S+ (?:type|name|option|format|value)",
    "cannot \\w+|can't \\w+|could not|couldn't|failed to|unable to|option requires|ambiguous \\w+",
    "read error|not enough arguments",
)

MARKS: Final = (
    # --- what an output begins with -------------------------------------------------------------
    mark(
        "error_first",
        _FAILS,
        r"^\W*(?:\w+ ){0,2}\w*(?:error|exception)(?: \d+)?"
        rf"(?:\s+(?:{_DOING})\b[^:\n]*)?\s*(?::|!|\[)",
        r"^\W*(?:an? |the )?(?:\w+ )?(?:error|exception) (?:has )?(?:occurred|happened|was raised)",
        r"^\W*(?:error|failed|failure|fatal|exception)\W*$",
        r"^\W*(?:fehler|erreur|errore?|erro|ошибка|错误|エラー|오류)\s*(?::|：)",
    ),
    mark(
        "refusal_first",
        _FAILS,
        r"^\W*(?:invalid|unknown|missing|unsupported|unrecogni[sz]ed|malformed|illegal|unexpected)"
        r" \w+(?:(?: \S+){0,5}:|(?: \w+){0,2}(?:\W*$| ['\"`]))",
        r"^\W*(?:failed to|unable to|could not|couldn't|cannot|can't|not able to) \w+ \w+",
        r"^\W*(?:access|permission|authori[sz]ation|authentication)(?: was| is)? (?:denied|failed"
        r"|required)",
        rf"^\W*(?:the |your )?(?:\S+ )?(?:{_SUBJECT})(?: \S+){{0,4}} (?:failed|could not|not found"
        r"|(?:was|were) (?:rejected|denied|aborted)|does(?:n't| not) exist"
        r"|is not (?:available|allowed|supported))",
        r"^[^\n]*(?:\b|_)(?:not[ _]found(?: in \w+)?|does(?:n't| not) exist)\W*$",
        r"^\W*something went wrong",
    ),
    # --- languages and their run times ----------------------------------------------------------
    mark(
        "exception",
        _FAILS,
        r"traceback \(most recent call last\)",
        r"(?m:^(?:uncaught )?[\w.]*[a-z](?:error|exception)(?::\s|$))",
        r"(?m:^keyboardinterrupt$)",
        r"exception in thread \"|(?m:^caused by: )",
        r"(?m:^panic: )|' panicked at |goroutine \d+ \[running\]",
        r"(?:php )?fatal error: uncaught|unhandled (?:exception|promise rejection)",
        r"segmentation fault|core dumped|bus error \(",
        r"terminate called after throwing",
    ),
    mark(
        "compiler",
        _FAILS,
        r":\d+(?::\d+)?: (?:fatal )?error\b|(?m:^(?:fatal )?error(?:\[\w+\])?: )",
        r"\berror (?:ts|cs|c|lnk|msb)\d+\b|undefined reference to|linker command failed",
        r"(?m:^npm err!)|(?m:^make: \*\*\* )|build failed|compilation (?:failed|terminated)",
        r"(?m:^\s*file \".*\", line \d+)",
    ),
    mark(
        "tests",
        _FAILS,
        r"(?m:^=+ .*\b[1-9]\d* (?:failed|errors?)\b)|(?m:^failed \(\w+=)|(?m:^--- fail: )",
        r"(?m:^tests?:\s+[1-9]\d* failed)|(?m:^failed \S+::)|\b[1-9]\d* tests? failed",
    ),
    # --- shells and system calls ----------------------------------------------------------------
    mark(
        "shell",
        _FAILS,
        r"command not found|is not recognized as an? (?:internal|cmdlet|name of)",
        r": (?:no such file or directory|permission denied|is a directory|not a directory"
        r"|file exists)",
        rf"(?m:^\S+: (?:\S+: )*(?:line \d+: )?(?:{_COMPLAINT})\b)|(?m:^\S+: (?:fatal )?error: )",
        r"(?m:^(?:\S+: )?\S+: (?:syntax|parse) error|: syntax error (?:near|at|in|:)"
        r"|: syntax error: )",
        r"(?m:^\S+: .*: not found$)|: invalid option|try ['`\"]\S+ --?help",
        r"expression compile failed",
        r"(?m:^(?:fatal|sudo): )|operation not permitted",
        r"\be(?:connrefused|notfound|acces|noent|exist|perm)\b",
        r"connection (?:refused|reset)|could not resolve host|name or service not known",
    ),
    mark(
        "exit_code",
        _FAILS,
        r"\b(?:exit|return) ?(?:code|status)\W{0,4}(?:[1-9]\d{0,2}|-\d+)\b",
        r"\bexit(?:ed|ing)?(?: abnormally)? with(?: an?)?(?: error| failure)? ?(?:code"
        r"|status)\W{0,3}(?:[1-9]|-\d)",
        r"non-zero (?:exit|status|return)|exiting with failure",
    ),
    # --- databases, HTTP ------------------------------------------------------------------------
    mark(
        "database",
        _FAILS,
        r"\bsqlstate\b|\bora-\d{5}\b|\berror \d{4} \(\w{5}\)|\bsqlite3?_error\b",
        r"no such (?:table|column|function|index)|unknown (?:column|table|database) ",
        r"\b(?:relation|column|table|function|schema|type) \S+ (?:doesn't|does not) exist",
        r"error in your sql syntax|syntax error at or near|column \S+ in [^\n]* is ambiguous",
        r"violates \S+(?: \S+)? constraint|constraint failed|duplicate (?:entry|key value)",
        r"invalid (?:object|column) name|must appear in the group by",
    ),
    mark(
        "http",
        _FAILS,
        r"\bhttp(?:/\d(?:\.\d)?)?(?: error| status)?(?: code)?:? [45]\d\d\b",
        r"\bstatus(?:[ _]code)?\W{1,4}[45]\d\d\b",
        r"^\W*[45]\d\d[ :-]+(?:client |server )?(?:error|bad request|unauthori[sz]ed|forbidden"
        r"|not found|method|conflict|gone|unprocessable|internal|bad gateway)",
    ),
    # --- structured payloads, where they are too long to be parsed ------------------------------
    mark(
        "payload",
        _FAILS,
        r"^\W*\"(?:errors?|exception|error_?message)\":\s*(?:\"[^\"]|\[\s*[\[{\"]|\{|true)",
        r"^\W*\"(?:success|ok)\":\s*false",
        r"\"is_?error\":\s*true",
        r"\"(?:exit_?code|return_?code)\":\s*-?[1-9]",
        r"<(?:tool_use_)?error>",
    ),
    # --- what speaks against --------------------------------------------------------------------
    mark(
        "no_error",
        {Signal.FAILURE: -2},
        r"\b(?:0|no|zero|without(?: any)?) (?:errors?|failures?|exceptions?)\b",
        r"^\W*error:\s*(?:none|null|nil|0|false)\W*$",
    ),
    # --- limits ---------------------------------------------------------------------------------
    mark(
        "limit",
        {Signal.EXHAUSTION: 2},
        r"rate[ _-]?limit|too many requests",
        r"quota[ _](?:is |was |has been )?(?:exceeded|exhausted|reached)",
        r"exceed(?:s|ed|ing)? (?:your |the |its |model's )*(?:\w+ )?(?:quota|limit|context|budget)",
        r"insufficient[_ ](?:quota|credits)",
        r"(?:usage|request|daily|monthly|hourly|token|credit) limit",
        r"resource[_ ](?:has been )?exhausted|overloaded|credit balance is too low|at capacity",
        r"context[_ ](?:length|window|size)|maximum (?:context|number of tokens)|too many tokens",
        r"(?:prompt|input|request|payload|entity|content|file|response|output) (?:is "
        r"|was )?too (?:large|long|big)",
        r"timed[ -]out|time-?out|deadline[ _]exceeded|took too long|time limit",
        r"service (?:is )?(?:temporarily )?unavailable|server (?:is )?(?:too )?busy",
        r"out of memory|memoryerror|oomkilled|no space left on device|disk quota",
        rf"\b(?:http|status|code|error)\W{{1,4}}(?:code\W{{1,3}}|http\W{{1,3}})?(?:{_STATUS})\b",
        rf"^\W*(?:{_STATUS})\b",
    ),
)

_FINDER: Final = CueFinder(MARKS, (), _TYPES)


def judge(output: Output) -> Signal | None:
    """FAILURE, EXHAUSTION (a limit of somebody's, not a mistake), or None; never raises."""
    if not (text := window(output.text, *OUTPUT_CHARS).strip()):
        return Signal.FAILURE if output.flagged else None
    failure, exhaustion = _FINDER.weigh(_FINDER.find(text))
    if (payload := parse(text)) is None:
        failed = output.flagged or failure >= MIN_EVIDENCE
        limited = failed or len(text) <= MAX_MESSAGE_CHARS
    else:
        # What a payload holds is data: the wording in it may speak of something else.
        failed = output.flagged or reports_failure(payload)
        limited = failed
        exhaustion += MIN_EVIDENCE * (status_of(payload) in EXHAUSTION_STATUSES)
    if limited and exhaustion >= MIN_EVIDENCE:
        return Signal.EXHAUSTION
    return Signal.FAILURE if failed else None
