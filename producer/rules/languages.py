"""The same intents in nine other languages: de, fr, es, pt, it, and zh, ja, ko, ru.

Word order differs between languages, so a verb and its object are separate cues that count as a
pair wherever they stand. The last four are found as marks: three of them do not separate words by
spaces, and in Russian a stem stands for the forms of a word. Within a cue the languages follow each
other in the order above.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Maybe, Pair, any_of, mark, phrase
from schemas.request_types import (
    ANALYTICAL_REASONING,
    CODE_GENERATION,
    CODE_UNDERSTANDING,
    FACTUAL_LOOKUP,
    TECHNICAL_DESIGN,
    WRITING,
)

_ABOUT_CODE: Final = ("code_line", "fence", "stack_trace", "language", "language_marks")

CUES: Final = (
    phrase(
        "make_words",
        {},
        "schreib(e|en|t|st)?|mach(e|en)?|erstell(e|en)?|programmier(e|en)?|implementier(e|en)?",
        "entwick(le|eln)|bau(e|en)?",
        "écri(s|re|vez)|cré(e|er|ez)|génér(e|er|ez)|implément(e|er|ez)|développ(e|er|ez)",
        "programm(er|ez)",
        "escrib(e|ir|a|eme)|crea(r|me)?|genera(r)?|implementa(r)?|desarrolla(r)?|programar",
        "haz(me)?|hacer",
        "escrev(a|e|er)|cri(e|ar)|ger(e|ar)|implemente|desenvolv(a|er)|programe|faça|fazer",
        "scriv(i|ere|imi|a)|sviluppa(re)?|realizza(re)?|crei|implementare|generare",
    ),
    mark(
        "make_marks",
        {},
        "写|寫|编写|編寫|生成|实现|實現|创建",
        "作って|作成|実装|書いて",
        "작성|만들어|구현|짜줘|써줘|써 줘",
        "напиши|написать|сочини|создай|создать|реализуй|сгенерируй",
    ),
    phrase(
        "code_words",
        {},
        "funktion(en)?|skript|programm|klasse|methode|quellcode|abfrage|algorithmus|unit tests?",
        "code|script",
        "fonctions?|programme|classe|requête|algorithme|expression régulière",
        "función|funciones|clase|método|código|consulta|algoritmo|expresión regular|programa",
        "função|funções|expressão regular",
        "funzion(e|i)|programma|codice|espressione regolare|query",
    ),
    mark(
        "code_marks",
        {},
        "代码|代碼|函数|函數|脚本|腳本|程序|程式|算法|正则",
        "コード|関数|スクリプト|プログラム|クラス|正規表現",
        "코드|함수|스크립트|프로그램",
        r"код(?:а|ом|у)?(?:[ ,.?!:\n]|$)|функци|скрипт|программ|алгоритм|регулярн",
    ),
    mark("language_marks", {CODE_GENERATION: 1, CODE_UNDERSTANDING: 1}, "파이썬|자바|питон|джава"),
    phrase(
        "explain_words",
        {FACTUAL_LOOKUP: 1},
        "erklär(e|en|t|st)?|was (macht|bewirkt|tut)|warum|wieso|weshalb|versteh(e|en)",
        "expliqu(e|er|ez)|que fait|pourquoi|à quoi sert|comprendre",
        "explica(r|me)?|explique|qué hace|por qué|entender",
        "o que (este|esse) (código|script|programa) faz|o que faz|porque|explicar",
        "spiega(re|mi)?|(che )?cosa fa|perché|come funziona",
    ),
    mark(
        "explain_marks",
        {FACTUAL_LOOKUP: 1},
        "解释|解釋|说明|說明|为什么|為什麼|什么意思|作用",
        "説明して|なぜ|原因|とは",
        "설명|왜 ",
        "объясни|почему|что делает|зачем|как работает",
    ),
    phrase(
        "error_words", {}, "fehler(meldung)?|absturz|erreur|bogue|error|errores|erro|errore|fallo"
    ),
    mark("error_marks", {}, "错误|錯誤|报错", "エラー|バグ", "오류|에러|버그", "ошибк"),
    phrase(
        "form_words",
        {},
        "e ?mails?|(liebes)?brief|aufsatz|(liebes)?gedicht|(kurz)?geschichte|märchen|artikel",
        "rede|bewerbung|anschreiben|zusammenfassung|text",
        "einladung|blogbeitrag|beitrag|nachricht",
        "courriel|mail|lettre|poème|histoire|discours|rédaction|dissertation|texte|conte",
        "nouvelle|message",
        "correo|carta|poema|cuento|historia|artículo|ensayo|discurso|resumen|texto|mensaje|canción",
        "conto|artigo|redação|resumo|mensagem|crônica",
        "lettera|poesia|racconto|storia|articolo|tema|saggio|discorso|riassunto|testo|messaggio",
    ),
    mark(
        "form_marks",
        {},
        "邮件|郵件|道歉信|封信|作文|文章|诗|詩|故事|演讲|小说",
        "メール|手紙|物語|スピーチ",
        "이메일|메일|편지|메시지|에세이|글을",
        "письмо|стих|поэм|рассказ|сочинение|статью|эссе|сообщение|поздравлен",
    ),
    phrase(
        "prose_verb_words",
        {WRITING: 2},
        "verfass(e|en)|formulier(e|en)",
        "rédig(e|er|ez)",
        "redacta(r)?",
        "redija|redigir",
    ),
    phrase(
        "rework_words",
        {WRITING: 4},
        "übersetz(e|en|t)?|korrigier(e|en)?|umformulier(e|en)|zusammenfassen",
        "fasse (den|das|die|diesen|dieses)",
        "tradui(s|re|sez)|reformul(e|er|ez)|corrig(e|er|ez)|résum(e|er|ez)",
        "traduce|traducir|corrige|reescribe|resume (este|el|la)|parafrasea",
        "traduz(a|ir)?|corrija|reescreva|resuma",
        "traduci|tradurre|correggi|riscrivi|riassumi|riformula",
    ),
    mark(
        "rework_marks",
        {WRITING: 4},
        "翻译|翻譯|润色|改写|总结",
        "翻訳|要約|添削",
        "번역|요약|교정",
        "переведи|перевод|перефразируй|сократи|отредактируй",
    ),
    phrase(
        "wh_words",
        {FACTUAL_LOOKUP: 4},
        (
            OPENING,
            any_of(
                "was (ist|sind|war|bedeutet|heisst)|wer (ist|war|hat|sind)|wann|welche(r|s|n|m)?",
                "wo (ist|liegt|war|sind)|wie (viele|hoch|alt|lang|gross|weit|heisst)|definiere",
            ),
        ),
        (
            OPENING,
            any_of(
                "qu est ce|c est quoi|quel(le)?s? (est|sont|était|fut)|qui (a|est|était|sont)",
                "quand|combien|où (est|se trouve|se situe)",
            ),
        ),
        (
            OPENING,
            "qué (es|son|significa)|quién(es)?|cuándo|dónde|cuál(es)? (es|son|fue)|cuánt(o|a)s?",
        ),
        (
            OPENING,
            "o que (é|são|significa)|quem|quando|onde|qual (é|foi)|quais|quant(o|a)s?",
        ),
        (
            OPENING,
            Maybe("che"),
            "cos è|cosa (è|sono|significa)|chi (è|era|ha|sono)|dove|quali|quant(i|e)",
        ),
    ),
    mark(
        "wh_marks",
        {FACTUAL_LOOKUP: 3},
        "什么是|是什么|是谁|谁是|谁写|在哪|哪里|哪个|哪一年|什么时候|多少|首都|多高|多大",
        "とは何|は何|は誰|どこ|いつ|いくつ|一番",
        "무엇|누구|언제|어디|수도",
        "что такое|кто |когда |где |сколько |какой |какая |какое |столица",
    ),
    phrase(
        "math_words",
        {ANALYTICAL_REASONING: 4},
        "wie viele verschiedene|berechn(e|en)|beweis(e|en)?|wahrscheinlichkeit|gleichung",
        "integral|ableitung|löse (die|das|den)",
        "démontr(e|er|ez)|prouv(e|er|ez)|calcul(e|er|ez)|probabilité|dérivée|résou(s|dre)",
        "intégrale",
        "calcula(r)?|demuestra|resuelve|probabilidad|ecuación|derivada",
        "demonstre|prove que|resolva|probabilidade|equação",
        "calcola(re)?|dimostra(re)?|risolvi|probabilità|equazione|derivata",
    ),
    mark(
        "math_marks",
        {ANALYTICAL_REASONING: 4},
        "计算|計算|证明|證明|求解|方程|概率|積分|积分|导数",
        "確率",
        "증명|확률|방정식|계산",
        "докажи|вычисли|посчитай|реши |вероятност|уравнени|производн|интеграл",
    ),
    mark("how_many_marks", {}, "多少|还剩|一共|剩下", "いくつ|何個|全部で", "몇 |모두", "сколько"),
    phrase(
        "design_verb_words",
        {},
        "entwirf|entwerf(e|en)|konzipier(e|en)|sollte (ich|man)|sollten wir",
        "conçois|concevoir|concevez|devrai(s|t) (je|on)",
        "diseña(r|me)?|debería(mos)?",
        "projete|projetar|devo usar|devemos usar",
        "progetta(re)?|dovrei usare|dovremmo",
    ),
    phrase(
        "which_architecture",
        {TECHNICAL_DESIGN: 3},
        "welche architektur|quelle architecture|qué arquitectura|qual arquitetura",
        "quale architettura",
    ),
    mark("design_verb_marks", {}, "设计|設計|应该用", "설계", "спроектируй|спроектировать"),
    phrase(
        "system_words",
        {TECHNICAL_DESIGN: 1},
        "architektur|datenbank(en|schema)?|datenmodell|mikroservices|skalierbar(e|en|er|es|em)?",
        "webshop",
        "base de données|microservices|à grande échelle",
        "arquitectura|base de datos|microservicios|escalable",
        "arquitetura|banco de dados|base de dados|microsserviços|escalável",
        "architettura|microservizi|base di dati|scalabile",
    ),
    mark(
        "system_marks",
        {TECHNICAL_DESIGN: 1},
        "架构|架構|数据库|數據庫|微服务|高并发|分布式",
        "アーキテクチャ|データベース|マイクロサービス",
        "아키텍처|데이터베이스|마이크로서비스",
        "архитектур|микросервис|база данных|базу данных",
    ),
)

PAIRS: Final = (
    Pair(
        "make_code_words",
        {CODE_GENERATION: 5},
        ("make_words",),
        ("code_words", "language", "language_marks"),
    ),
    Pair("quantity_marks", {ANALYTICAL_REASONING: 4}, ("how_many_marks",), ("number",)),
    Pair(
        "make_code_marks",
        {CODE_GENERATION: 5},
        ("make_marks",),
        ("code_marks", "language", "language_marks"),
    ),
    Pair(
        "explain_code_words",
        {CODE_UNDERSTANDING: 4},
        ("explain_words",),
        ("code_words", *_ABOUT_CODE),
    ),
    Pair(
        "explain_code_marks",
        {CODE_UNDERSTANDING: 4},
        ("explain_marks",),
        ("code_marks", *_ABOUT_CODE),
    ),
    Pair(
        "error_words_in_code",
        {CODE_UNDERSTANDING: 3},
        ("error_words", "error_marks"),
        ("code_words", "code_marks", *_ABOUT_CODE),
    ),
    Pair("write_form_words", {WRITING: 4}, ("make_words", "prose_verb_words"), ("form_words",)),
    Pair("write_form_marks", {WRITING: 4}, ("make_marks",), ("form_marks",)),
    Pair(
        "design_words",
        {TECHNICAL_DESIGN: 4},
        ("design_verb_words",),
        ("system_words", "system", "product"),
    ),
    Pair(
        "design_marks", {TECHNICAL_DESIGN: 4}, ("design_verb_marks",), ("system_marks", "product")
    ),
)
