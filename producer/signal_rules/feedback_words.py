"""The same feedback in German, French, Spanish, Portuguese and Italian, in this order in each cue.

Main intents only, as in :mod:`producer.rules.languages`. The lists are shorter than in English, so
the phrases are chosen to be said about an answer and hardly ever in a task.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Cue, Gap, Maybe, Weights, any_of, mark, phrase
from producer.signal_rules.names import DENIAL, Signal

_SATISFIED: Final[Weights] = {Signal.SATISFACTION: 3}
_REJECTS: Final[Weights] = {Signal.MISALIGNMENT: 3, Signal.SATISFACTION: -4}
_GIVES_UP: Final[Weights] = {Signal.DISENGAGEMENT: 3, Signal.SATISFACTION: -4}

_PAUSE: Final = r"\s*(?:$|[.,!;:\n)-])"
_HUMAN_DE: Final = "menschen|mitarbeiter|person|kundenberater|berater|kollegen|techniker"

_SATISFACTION: Final[tuple[Cue, ...]] = (
    phrase(
        "thanks_words",
        _SATISFIED,
        (
            OPENING,
            Gap(2),
            "danke|dankeschön|merci|gracias|obrigad(o|a)|valeu|grazie|ti ringrazio",
        ),
    ),
    phrase(
        "works_words",
        _SATISFIED,
        "(funktioniert|klappt|läuft) (jetzt|super|prima|perfekt|einwandfrei|gut)|alles geklappt",
        "passt alles|alles passt|das hat (mir )?(sehr )?geholfen|hat geklappt|hat funktioniert",
        "genau (das|richtig|so)|sehr hilfreich|gut gemacht|(gute|tolle) arbeit|das hilft",
        "(ça|cela) (marche|fonctionne) (maintenant|bien|très bien|parfaitement)|bon travail",
        "c est (parfait|exactement|très bien|génial|super|ce que je voulais)|très utile|bien joué",
        "m a (beaucoup|bien) aidé",
        "(funciona|funcionó) (perfectamente|bien|muy bien|genial|de maravilla)|buen trabajo",
        "es (justo|exactamente) lo que|eso es (lo que|perfecto|correcto)|muy útil|bien hecho",
        "me (ha servido|sirvió|ayudó) mucho|muchas gracias",
        "(funciona|funcionou) (perfeitamente|bem|muito bem)|bom trabalho|muito útil|ajudou muito",
        "era isso|(é|era) (isso|exatamente) (mesmo|o que|isso)|ficou (ótimo|perfeito|muito bom)",
        "funziona (perfettamente|bene|benissimo|alla grande)|ottimo lavoro|molto utile|ben fatto",
        "(è|era) (proprio |esattamente )?(quello|ciò) che (volevo|cercavo)|mi ha aiutato",
    ),
    mark(
        "praise_words_alone",
        _SATISFIED,
        r"^\W*(?:(?:das ist|das war|ist|sehr|wirklich|ja|ok|oh|wow|echt|einfach)\W+){0,3}"
        r"(?:super|perfekt|klasse|toll|prima|genau|ausgezeichnet|hervorragend|wunderbar|grossartig"
        rf"|spitze|sehr gut|gut gemacht|passt|stimmt|richtig)(?: [a-z]+)?{_PAUSE}",
        r"^\W*(?:(?:c'est|c’est|tres|vraiment|oui|ok|ah|oh|ca)\W+){0,3}"
        r"(?:parfait|genial|super|excellent|magnifique|formidable|impeccable|exactement|top|nickel"
        rf"|tres bien|bien joue|bravo)(?: travail)?{_PAUSE}",
        r"^\W*(?:(?:esta|es|muy|si|vale|que|eso|ok|oh|quedo)\W+){0,3}"
        r"(?:perfecto|genial|excelente|estupendo|fantastico|increible|exacto|exactamente|muy bien"
        rf"|buenisimo|maravilloso)(?: trabajo)?{_PAUSE}",
        r"^\W*(?:(?:esta|e|muito|sim|ficou|que|ok|isso)\W+){0,3}"
        r"(?:perfeito|otimo|excelente|maravilhoso|incrivel|fantastico|exato|exatamente|muito bom"
        rf"|show|legal)(?: trabalho)?{_PAUSE}",
        r"^\W*(?:(?:e|molto|si|ok|oh|davvero|questo)\W+){0,3}"
        r"(?:perfetto|ottimo|eccellente|fantastico|benissimo|magnifico|esatto|esattamente"
        rf"|bravissimo|molto bene|grandioso)(?: lavoro)?{_PAUSE}",
    ),
    phrase(
        "no_praise_words",
        {Signal.SATISFACTION: -5},
        (
            "nicht|kein|keine|nein|nie|pas|jamais|no|nada|não|non|mai|niente",
            Maybe("sehr|ganz|wirklich|so|très|vraiment|muy|es|está|muito|é|molto|è"),
            any_of(
                "super|perfekt|toll|gut|richtig|genau|hilfreich|danke|parfait|bon|utile|merci|bien",
                "perfecto|bueno|correcto|útil|gracias|perfeito|bom|correto|certo|obrigado|perfetto",
                "buono|giusto|corretto|utile|grazie|funktioniert|funciona|funziona|marche",
            ),
        ),
        (
            any_of(
                "danke|gut|super|merci|bien|gracias|obrigad(o|a)|bom|grazie|bene|schön|genial|fast",
                "presque|casi|quase|quasi",
            ),
            Gap(2),
            "aber|mais|pero|mas|ma|jedoch|cependant|sin embargo|porém|però",
        ),
        "im voraus|par avance|d avance|de antemano|desde já|in anticipo",
    ),
)

_MISALIGNMENT: Final[tuple[Cue, ...]] = (
    phrase(
        "wrong_words",
        _REJECTS,
        (
            "das|es|dies|die antwort|der code|ergebnis|leider|immer noch|noch",
            Maybe("ist|war|sind"),
            Maybe("immer noch|leider|so|doch|aber|noch|auch|völlig|total|ganz"),
            any_of(
                "falsch|nicht (richtig|korrekt|das|was|ganz|wahr|so|gut|hilfreich)|inkorrekt",
                "unsinn|quatsch|fehlerhaft|kaputt|(die|der|das) falsche",
            ),
        ),
        "stimmt (so |immer noch |leider )?nicht|(noch immer|weiterhin) (falsch|ein fehler|nicht)",
        "(funktioniert|geht|klappt|läuft) (immer noch |leider |so |aber )?nicht",
        "immer noch (einen|falsch|der gleiche|derselbe|ein fehler|fehler|nicht|das gleiche)",
        "(derselbe|der gleiche|denselben|den gleichen|wieder (der|ein)) fehler",
        (
            "c|cela|ça|ce|réponse|code|résultat|toujours|encore",
            Maybe("est|était"),
            Maybe("toujours|encore|complètement|n est|ne|totalement"),
            any_of(
                "faux|fausse|incorrect|incorrecte|erroné|n importe quoi",
                "pas (correct|juste|bon|ça|ce que|exact|vrai|bien|la|le)",
            ),
        ),
        "(marche|fonctionne) (toujours |encore )?pas|toujours (pas|faux|la même|une erreur)",
        "(tu t es|vous vous êtes) trompée?s?|il manque|même (erreur|problème)",
        (
            "eso|esto|es|está|sigue|respuesta|código|resultado|todavía|aún",
            Maybe("es|está|sigue|todavía|estando|siendo"),
            "mal|incorrect(o|a)|equivocad(o|a)|errone(o|a)|falso",
        ),
        "(esa|ese|eso|esto) no (es|era)|no (es|era) (correcto|lo que|eso|cierto|verdad|así)",
        "(no|sin) funciona(r|ndo)?|no está bien|sigue (mal|dando|igual|fallando)|no sirve",
        "mismo (error|problema)",
        (
            "isso|isto|está|é|resposta|código|resultado|ainda|continua",
            Maybe("está|é|ainda|continua"),
            "errad(o|a)|incorret(o|a)|falso",
        ),
        "(essa|esse|isso|isto) não (é|era)|não (é|era|está) (correto|certo|o que|isso|bem|assim)",
        "não (funciona|funcionou)|continua (errado|igual|dando|não)|não foi isso",
        "mesmo (erro|problema)",
        (
            "questo|è|risposta|codice|risultato|ancora|sempre",
            Maybe("è|ancora|sempre"),
            "sbagliat(o|a)|errat(o|a)|scorrett(o|a)|falso",
        ),
        "non (è|era) (la|il|corretto|giusto|quello|ciò|vero|così)|non (funziona|va bene|va)",
        "stesso (errore|problema)|continua a (dare|non)",
    ),
    phrase(
        "meant_words",
        {Signal.MISALIGNMENT: 3, Signal.SATISFACTION: -3},
        "ich (meinte|meine|habe gemeint)|(habe|hatte|wollte) ich (so )?nicht|nicht was ich",
        ("du hast|sie haben|hast du", Gap(4), "falsch|missverstanden|vergessen|übersehen|nicht"),
        ("du hast|sie haben", Gap(4), "ignoriert|ausgelassen|weggelassen|verwechselt"),
        ("ich (hatte|habe)", Gap(4), "gefragt|gebeten|verlangt|gesagt"),
        "nicht (meine frage|gefragt|gemeint)|(wie|was) ich (gesagt|geschrieben|gefragt) habe",
        "bist du (dir )?sicher|sind sie sicher|versuch(e|s)? (es )?(noch ?mal|erneut)",
        "je (voulais|parlais|veux) (dire|de|pas)|ce que je (voulais|demande)|j ai (demandé|dit)",
        "j avais (demandé|dit)|(tu as|vous avez) (oublié|mal compris|ignoré|fait une erreur|raté)",
        "(tu n as|vous n avez) pas|(es tu|tu es|êtes vous|vous êtes) sûre?s?|réessaie|recommence",
        "me refer(ía|ia)|quer(ía|ia) decir|quise decir|te (pedí|dije)|pregunté por|te equivocas",
        "no me (has|ha|estás) (entendido|respondido|entendiendo)|había pedido|ya te",
        "(has|ha|te|se) (olvidad(o|a)|olvidaste|olvidó|entendido mal|equivocad(o|a)|equivocaste)",
        "no (has|ha) (entendido|respondido|leído)|no (entendiste|respondiste|leíste)",
        "(estás|está usted) segur(o|a)|inténtalo (de nuevo|otra vez)",
        "eu (quis|queria) dizer|(pedi|perguntei) (pela|pelo|por)|eu (pedi|disse|perguntei)",
        "você (esqueceu|errou|não|entendeu (mal|errado)|ignorou)|tem certeza",
        "tente (de novo|novamente)",
        "intendevo|volevo dire|(ho|avevo) (chiesto|detto)|non hai|sei sicur(o|a)|ti sbagli",
        "(hai|ha) (dimenticato|sbagliato|frainteso|capito male|ignorato)|riprova",
    ),
    mark(
        "no_words_first",
        {DENIAL: 2},
        r"^\W*(?:nein|falsch|non|faux|nao|errado|sbagliato|incorrecto)\s*[,.!:;-]",
        r"^\W*no\s*[,.!:;-]+\s*(?:eso|no|queria|me|te|lo|la|es|non|intendevo|volevo|questo)\b",
    ),
    phrase(
        "no_more_words",
        {Signal.MISALIGNMENT: -3, DENIAL: -3},
        (
            OPENING,
            "nein|non|no|não",
            any_of(
                "danke|vielen|das (ist|war|wäre) alles|alles gut|merci|c est (tout|bon)|gracias",
                "eso es todo|nada más|obrigad(o|a)|é (só|tudo)|isso é tudo|grazie|è tutto",
            ),
        ),
        "warum|wieso|pourquoi|por qué|porque|perché",
    ),
)

_DISENGAGEMENT: Final[tuple[Cue, ...]] = (
    phrase(
        "give_up_words",
        _GIVES_UP,
        "vergiss (es|das)|vergessen sie (es|das)|ich gebe auf|lass (es|gut sein|das sein)",
        ("mache?|mach", "ich", Maybe("es|das"), Maybe("lieber|dann|jetzt"), "selbst|selber"),
        ("ich", "mache?|mach", Maybe("s|es|das"), Maybe("lieber|dann|jetzt"), "selbst|selber"),
        "mir reicht s|zeitverschwendung|das bringt (doch )?nichts|so wird das nichts|genug davon",
        "hat keinen sinn|ich frage? (lieber )?(jemand|einen anderen)",
        "laisse tomber|laissez tomber|j abandonne|oublie(z)? (ça|tout)|tant pis|perte de temps",
        "ça suffit|ça ne sert à rien|j arrête|je me débrouille(rai)?",
        "je (vais le faire|le ferai) (moi même|seule?)",
        "olvídalo|olvídate|me rindo|déjalo|lo (haré|hago) yo|pérdida de tiempo|no sirves",
        "no (vale|merece) la pena|ya basta|me cansé|ya no quiero (seguir|continuar)",
        "(buscaré|busco) en otr(o|a)",
        "esquece|esqueça|desisto|deixa (pra lá|para lá|quieto)|eu (mesmo )?faço|perda de tempo",
        "vou fazer (eu mesmo|sozinho)",
        (OPENING, "chega"),
        "lascia (perdere|stare)|lasciamo perdere|mi arrendo|ci rinuncio|faccio (da solo|io)",
        "perdita di tempo",
    ),
    phrase(
        "ask_for_human_words",
        {Signal.DISENGAGEMENT: 4},
        (
            "einem|einen|einer",
            Maybe("echten|richtigen"),
            _HUMAN_DE,
            "sprechen|reden|telefonieren|verbinden|chatten",
        ),
        ("verbinden sie|verbinde", Gap(4), _HUMAN_DE),
        (
            "parler|passez|passe|joindre|mettez|relation|transférez",
            Gap(4),
            "humain|conseiller|agent|opérateur|personne|responsable",
        ),
        (
            "hablar|comunicar|páseme|pásame|comuníqueme|quiero",
            Gap(3),
            "humano|agente|persona|operador|representante|asesor|supervisor",
        ),
        (
            "falar|conversar|quero|transfira|passe",
            Gap(3),
            "humano|atendente|pessoa|operador|representante|supervisor",
        ),
        (
            "parlare|passami|passatemi|mi passi",
            Gap(3),
            "operatore|persona|umano|agente|addetto|responsabile",
        ),
    ),
    phrase(
        "task_words_first",
        {Signal.DISENGAGEMENT: -3, Signal.SATISFACTION: -2},
        (
            OPENING,
            any_of(
                "schreib(e|en)?|übersetz(e|en)?|erklär(e|en)?|erstell(e|en)?|was bedeutet|wie",
                "écri(s|vez)|tradui(s|sez)|expliqu(e|ez)|cré(e|ez)|comment|qu est ce|que signifie",
                "escribe|traduce|explica|crea|cómo|qué (es|significa)|escreva|traduza|explique",
                "crie|como|o que|scrivi|traduci|spiega|come|cosa (è|significa)",
            ),
        ),
    ),
)

CUES: Final = (*_SATISFACTION, *_MISALIGNMENT, *_DISENGAGEMENT)
