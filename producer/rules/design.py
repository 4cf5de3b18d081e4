"""Technical design: choosing, structuring and scaling systems, before there is code.

A design verb or a "which of the two" counts only with something that engineers design or choose; a
garden, a logo or a pair of curtains is designed or chosen too.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Maybe, Pair, any_of, mark, phrase
from schemas.request_types import FACTUAL_LOOKUP, TECHNICAL_DESIGN

_PRODUCT: Final = any_of(
    "kafka|rabbitmq|redis|memcached|postgres(ql)?|mysql|sqlite|mongo(db)?|dynamodb|cassandra",
    "nosql|etl|nats|elasticsearch|clickhouse|snowflake|bigquery|graphql|grpc|rest(ful)? apis?",
    "websockets?|aws|azure|gcp|s3|ec2|docker|kubernetes|k8s|terraform|nginx|serverless|oauth2?",
    "jwt|sso|cdn|airflow|flink|sqs|pubsub|jenkins|github actions|react|angular|vue|svelte|django",
    "spring boot|node.?js",
)
_SYSTEM: Final = any_of(
    "databases?|schemas?|data ?models?|micro ?services?|back ?ends?|front ?ends?|apis?|saas",
    "cache|caching|data pipelines?|infrastructure|queues?|distributed|authentication",
    "authori(s|z)ation|time series|codebase|data ?(warehouse|lake)|event driven|deployments?",
    "ci cd|web ?app|mobile app|web ?shop|monolith|monorepo|rate limiter|url shortener",
    "(news ?feed|chat|booking|payment|notification) (system|service)|news ?feed",
    "(folder|project|repo|directory|code) (structure|layout)|software architecture|data storage",
)
# Systems of other kinds too: they count only when the text asks to design them.
_ANY_SYSTEM: Final = any_of(
    "systems?|services?|pipelines?|clusters?|clouds?|permissions|applications?|platforms?",
    "architecture|tables?|protocols?|modules?|software|servers?|storage|apps?|repository|network",
    "relational|state|sensor data",
)

_DESIGN: Final = "(re)?design|architect|model|structure|lay out|outline|propose|plan|sketch"

CUES: Final = (
    phrase("design_verb", {}, (OPENING, _DESIGN)),
    phrase(
        "how_to_design",
        {TECHNICAL_DESIGN: 1},
        (
            "how (should|would|do|can|could|to)",
            Maybe("i|we|you|one"),
            Maybe("best"),
            "design|structure|organi(s|z)e|architect|model|scale|partition|shard|deploy|split|store",
        ),
    ),
    mark(
        "design_sentence",
        {},
        r"[.!?:\n]\s*(?:please )?(?:design|architect|propose|outline|sketch)\b",
    ),
    phrase(
        "design_noun",
        {TECHNICAL_DESIGN: 3},
        "(system|software|database|api|schema|application|cloud|data) (design|architecture)",
        "architectures? (for|of)|design patterns?|data model?ling|design (doc|document|review)",
    ),
    phrase("system", {}, _SYSTEM),
    phrase("any_system", {}, _ANY_SYSTEM),
    phrase(
        "which_system",
        {TECHNICAL_DESIGN: 3},
        ("which|what", any_of(_SYSTEM, _PRODUCT, "storage|library|framework")),
    ),
    phrase("product", {TECHNICAL_DESIGN: 1}, _PRODUCT),
    phrase(
        "either_product", {TECHNICAL_DESIGN: 3}, (_PRODUCT, "or|vs|versus", Maybe("a|an"), _PRODUCT)
    ),
    phrase(
        "either_system", {TECHNICAL_DESIGN: 2}, (_SYSTEM, "or|vs|versus", Maybe("a|an"), _SYSTEM)
    ),
    phrase(
        "scaling",
        {TECHNICAL_DESIGN: 2},
        "scalable|scalability|high availability|highly available|fault toleran(t|ce)",
        "shard(s|ed|ing)?|load balanc(er|ing)|multi tenan(t|cy)|eventual consistency",
        "eventually consistent|cqrs|failover|message (queue|broker)s?|event (sourcing|driven)",
        "horizontal(ly)? scal(e|ing|able)|read replicas?|zero downtime|blue green",
        "single point of failure|(requests|writes|reads|events) per second|low latency",
        "high throughput|micro ?services?|monolith(ic)?|caching strateg(y|ies)|backpressure",
        "disaster recovery|idempoten(t|cy)",
    ),
    phrase(
        "choice",
        {},
        "should (i|we|you|one) (use|choose|pick|go|adopt|prefer|switch|store|split)|vs|versus",
        "compare|should (our|the|my)|(would|do|can) you recommend|a good|best practices?",
        "choos(e|ing) between|decid(e|ing) between|trade ?offs?|pros and cons|when to use|fits?",
        "suits?|good fit for|better (for|than|suited)|best suited|advantages and disadvantages",
    ),
    phrase(
        "designing_other",
        {TECHNICAL_DESIGN: -4},
        "garden|logo|dress|kitchen|bedroom|living room|tattoo|wedding|party|birthday|curtains?",
        "essay|trip|itinerary|outfit|poster|costume|meal|workout|lesson|vacation",
    ),
)

PAIRS: Final = (
    Pair(
        "design_system",
        {TECHNICAL_DESIGN: 4},
        ("design_verb", "how_to_design", "design_sentence"),
        ("system", "any_system", "product", "scaling"),
    ),
    Pair(
        "choose_technology",
        {TECHNICAL_DESIGN: 4, FACTUAL_LOOKUP: -1},
        ("choice",),
        ("product", "scaling", "system"),
    ),
    Pair("scale_system", {TECHNICAL_DESIGN: 1}, ("scaling",), ("system", "any_system", "product")),
)
