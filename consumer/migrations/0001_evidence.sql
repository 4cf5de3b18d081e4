-- Progress, evidence, turn states and dead letters of the single writer; the view for analysts.

CREATE TABLE partition_progress (
    partition integer PRIMARY KEY,
    epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    folded bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    late bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    stream_time_ms bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE partition_progress IS
    'How far each partition of the events topic is folded. A writer advances it in the transaction '
    'that adds the evidence, and only under the epoch it took.';

CREATE TABLE routers (
    partition integer NOT NULL,
    router text NOT NULL,
    version bigint NOT NULL,
    config_text text NOT NULL,
    window_ms bigint NOT NULL,
    arms text[] NOT NULL,
    request_types text[] NOT NULL,
    declared_metrics text[] NOT NULL,
    quality_slow_ms bigint NOT NULL,
    quality_fast_ms bigint NOT NULL,
    latency_slow_ms bigint NOT NULL,
    latency_fast_ms bigint NOT NULL,
    PRIMARY KEY (partition, router)
);
COMMENT ON TABLE routers IS
    'Each router as the events of each partition have configured it. Arms, request types and '
    'metrics are all that were ever named; half-lives are those of the first configuration.';

CREATE TABLE evidence (
    partition integer NOT NULL,
    router text NOT NULL,
    request_type text NOT NULL,
    arm text NOT NULL,
    metric text NOT NULL,
    pace text NOT NULL CHECK (pace IN ('slow', 'fast')),
    half_life_ms bigint NOT NULL CHECK (half_life_ms >= 0),
    era bigint NOT NULL,
    n numeric NOT NULL,
    s1 numeric NOT NULL,
    s2 numeric NOT NULL,
    PRIMARY KEY (router, request_type, arm, metric, pace, half_life_ms, era, partition)
) WITH (fillfactor = 70);
COMMENT ON TABLE evidence IS
    'Exact forward-decayed sums: weight, weight times value, weight times squared value. Values '
    'are fixed-point (schemas/metrics.py). Never holds a prior.';

CREATE TABLE event_counts (
    partition integer NOT NULL,
    router text NOT NULL,
    request_type text NOT NULL,
    folded bigint NOT NULL,
    duplicates bigint NOT NULL,
    late bigint NOT NULL,
    as_of_ms bigint NOT NULL,
    PRIMARY KEY (partition, router, request_type)
) WITH (fillfactor = 70);
COMMENT ON TABLE event_counts IS
    'Events by what became of them; as_of_ms is the latest turn time folded.';

CREATE TABLE turn_states (
    partition integer NOT NULL,
    turn_id uuid NOT NULL,
    counted bigint NOT NULL,
    PRIMARY KEY (partition, turn_id)
) WITH (fillfactor = 80);
COMMENT ON TABLE turn_states IS
    'For each turn within its attribution window the set of facts already counted, a bit each.';

CREATE TABLE dead_letters (
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    log_time_ms bigint NOT NULL,
    record_key bytea,
    record_value bytea,
    reason text NOT NULL,
    detail text NOT NULL,
    buried_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, record_offset)
);
COMMENT ON TABLE dead_letters IS 'Records that can not be folded, as they were, with the reason.';

-- Arithmetic of schemas/evidence.py and schemas/posterior.py, for the view below.

CREATE FUNCTION evidence_era(time_ms bigint, half_life_ms bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN half_life_ms = 0 THEN 0 ELSE (time_ms * 1024 / half_life_ms) >> 14 END;

CREATE FUNCTION evidence_weight(time_ms bigint, half_life_ms bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN half_life_ms = 0 THEN 65536
    ELSE round(power(2::float8, 16 + ((time_ms * 1024 / half_life_ms) & 1023) / 1024.0::float8))
         * power(2::float8, (((time_ms * 1024 / half_life_ms) >> 10) & 15)::float8)
    END;

CREATE VIEW effective_evidence AS
WITH as_of AS (
    SELECT router, request_type, max(as_of_ms) AS at_ms
    FROM event_counts GROUP BY router, request_type
), scaled AS (
    SELECT e.router, e.request_type, e.arm, e.metric, e.pace, a.at_ms,
           power(2::float8, 16 * (e.era - evidence_era(a.at_ms, e.half_life_ms)))
           / evidence_weight(a.at_ms, e.half_life_ms) AS factor,
           sum(e.n) AS n, sum(e.s1) AS s1, sum(e.s2) AS s2
    FROM evidence AS e JOIN as_of AS a USING (router, request_type)
    WHERE e.era > evidence_era(a.at_ms, e.half_life_ms) - 2
    GROUP BY e.router, e.request_type, e.arm, e.metric, e.pace, e.half_life_ms, e.era, a.at_ms
), paced AS (
    SELECT router, request_type, arm, metric,
           sum(n::float8 * factor) FILTER (WHERE pace = 'slow') AS slow_n,
           sum(s1::float8 * factor) FILTER (WHERE pace = 'slow') AS slow_s1,
           sum(s2::float8 * factor) FILTER (WHERE pace = 'slow') AS slow_s2,
           coalesce(sum(n::float8 * factor) FILTER (WHERE pace = 'fast'), 0) AS fast_n,
           coalesce(sum(s1::float8 * factor) FILTER (WHERE pace = 'fast'), 0) AS fast_s1,
           coalesce(sum(s2::float8 * factor) FILTER (WHERE pace = 'fast'), 0) AS fast_s2
    FROM scaled GROUP BY router, request_type, arm, metric
), judged AS (
    SELECT *,
           fast_n >= 5 AND slow_n - fast_n >= 1
           AND abs(fast_s1 / nullif(fast_n, 0) - (slow_s1 - fast_s1) / nullif(slow_n - fast_n, 0))
               > 3 * sqrt(greatest(slow_s2 / slow_n - (slow_s1 / slow_n) * (slow_s1 / slow_n), 0)
                          * (1 / nullif(fast_n, 0) + 1 / nullif(slow_n - fast_n, 0)))
           AND greatest(slow_s2 / slow_n - (slow_s1 / slow_n) * (slow_s1 / slow_n), 0) > 0
           AS drifted
    FROM paced WHERE slow_n > 0
)
SELECT router, request_type, arm, metric, coalesce(drifted, false) AS drifted,
       CASE WHEN drifted THEN fast_n ELSE slow_n END AS n,
       CASE WHEN drifted THEN fast_s1 ELSE slow_s1 END AS s1,
       CASE WHEN drifted THEN fast_s2 ELSE slow_s2 END AS s2
FROM judged;
COMMENT ON VIEW effective_evidence IS
    'Evidence by metric at each (router, request type)''s latest turn time: n observations (the '
    'newest counts 1), s1 the sum of their fixed-point values.';

CREATE VIEW posteriors AS
WITH config AS (
    SELECT DISTINCT ON (router) router, config_text::jsonb AS c
    FROM routers ORDER BY router, version DESC, config_text COLLATE "C" DESC
), cells AS (
    SELECT k.router, t.request_type, a.arm ->> 'name' AS arm,
           least((k.c #>> ARRAY['prior', 'tier_means', ((a.arm ->> 'tier')::int - 1)::text])::float8
                 + CASE WHEN a.arm -> 'strengths' ? t.request_type
                        THEN (k.c #>> '{prior,strength_bonus}')::float8 ELSE 0 END,
                 (k.c #>> '{prior,cap}')::float8) AS prior_mean,
           (k.c #>> '{prior,mass}')::float8 AS prior_mass,
           (k.c ->> 'max_evidence_mass')::float8 AS max_mass,
           k.c -> 'rewards' AS rewards
    FROM config AS k,
         jsonb_array_elements(k.c -> 'arms') AS a (arm),
         jsonb_array_elements_text(k.c -> 'request_types') AS t (request_type)
), rewarded AS (
    SELECT c.router, c.request_type, c.arm, c.prior_mean, c.prior_mass, c.max_mass,
           coalesce(sum((c.rewards ->> e.metric)::float8 * e.n), 0) AS total,
           coalesce(sum((c.rewards ->> e.metric)::float8 * e.s1 / 1024), 0) AS successes
    FROM cells AS c
    LEFT JOIN effective_evidence AS e
        ON e.router = c.router AND e.request_type = c.request_type AND e.arm = c.arm
        AND c.rewards ? e.metric
    GROUP BY c.router, c.request_type, c.arm, c.prior_mean, c.prior_mass, c.max_mass
), capped AS (
    SELECT *, CASE WHEN total > max_mass THEN max_mass / total ELSE 1 END AS scale FROM rewarded
), shaped AS (
    SELECT router, request_type, arm, total AS observations,
           prior_mean * prior_mass + scale * successes AS alpha,
           (1 - prior_mean) * prior_mass + scale * greatest(total - successes, 0) AS beta
    FROM capped
)
SELECT router, request_type, arm, alpha, beta, alpha / (alpha + beta) AS mean, observations
FROM shaped;
COMMENT ON VIEW posteriors IS
    'Beta posterior of every cell of every configured router: prior plus reward-weighted evidence.';
