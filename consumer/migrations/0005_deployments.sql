-- An arm's evidence is read at the time of its latest turn, and deployments of an arm share its
-- quality: what each has earned is pooled before drift is judged.

CREATE TABLE arm_seen (
    partition integer NOT NULL,
    router text NOT NULL,
    request_type text NOT NULL,
    arm text NOT NULL,
    seen_ms bigint NOT NULL,
    PRIMARY KEY (partition, router, request_type, arm)
) WITH (fillfactor = 70);
COMMENT ON TABLE arm_seen IS
    'The latest turn time of each arm of which more is known than that it was picked.';

DROP VIEW posteriors;
DROP VIEW effective_evidence;

CREATE FUNCTION evidence_drifted(
    slow_n double precision, slow_s1 double precision, slow_s2 double precision,
    fast_n double precision, fast_s1 double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(
    fast_n >= 5 AND slow_n - fast_n >= 1
    AND abs(fast_s1 / nullif(fast_n, 0) - (slow_s1 - fast_s1) / nullif(slow_n - fast_n, 0))
        > 3 * sqrt(greatest(slow_s2 / slow_n - (slow_s1 / slow_n) * (slow_s1 / slow_n), 0)
                   * (1 / nullif(fast_n, 0) + 1 / nullif(slow_n - fast_n, 0)))
    AND greatest(slow_s2 / slow_n - (slow_s1 / slow_n) * (slow_s1 / slow_n), 0) > 0,
    false);

CREATE VIEW paced_evidence AS
WITH as_of AS (
    SELECT router, request_type, max(as_of_ms) AS at_ms
    FROM event_counts GROUP BY router, request_type
), seen AS (
    SELECT router, request_type, arm, max(seen_ms) AS seen_ms
    FROM arm_seen GROUP BY router, request_type, arm
), timed AS (
    SELECT e.router, e.request_type, e.arm, e.metric, e.pace, e.half_life_ms, e.era,
           e.n, e.s1, e.s2, a.at_ms AS as_of_ms,
           CASE WHEN e.metric = 'picked' THEN a.at_ms
                ELSE least(coalesce(s.seen_ms, a.at_ms), a.at_ms) END AS at_ms
    FROM evidence AS e
    JOIN as_of AS a USING (router, request_type)
    LEFT JOIN seen AS s USING (router, request_type, arm)
), scaled AS (
    SELECT router, request_type, arm, metric, pace, half_life_ms, as_of_ms - at_ms AS idle_ms,
           power(2::float8, 16 * (era - evidence_era(at_ms, half_life_ms)))
           / evidence_weight(at_ms, half_life_ms) AS factor,
           sum(n) AS n, sum(s1) AS s1, sum(s2) AS s2
    FROM timed
    WHERE era > evidence_era(at_ms, half_life_ms) - 2
    GROUP BY router, request_type, arm, metric, pace, half_life_ms, era, as_of_ms, at_ms
), paced AS (
    SELECT router, request_type, arm, metric, idle_ms,
           coalesce(max(half_life_ms) FILTER (WHERE pace = 'slow'), 0) AS slow_ms,
           coalesce(max(half_life_ms) FILTER (WHERE pace = 'fast'), 0) AS fast_ms,
           coalesce(sum(n::float8 * factor) FILTER (WHERE pace = 'slow'), 0) AS slow_n,
           coalesce(sum(s1::float8 * factor) FILTER (WHERE pace = 'slow'), 0) AS slow_s1,
           coalesce(sum(s2::float8 * factor) FILTER (WHERE pace = 'slow'), 0) AS slow_s2,
           coalesce(sum(n::float8 * factor) FILTER (WHERE pace = 'fast'), 0) AS fast_n,
           coalesce(sum(s1::float8 * factor) FILTER (WHERE pace = 'fast'), 0) AS fast_s1,
           coalesce(sum(s2::float8 * factor) FILTER (WHERE pace = 'fast'), 0) AS fast_s2
    FROM scaled GROUP BY router, request_type, arm, metric, idle_ms
)
SELECT router, request_type, arm, metric, slow_n, slow_s1, slow_s2, fast_n, fast_s1, fast_s2,
       coalesce(power(2::float8, -idle_ms / nullif(slow_ms, 0)::float8), 1) AS slow_left,
       coalesce(power(2::float8, -idle_ms / nullif(CASE WHEN slow_ms > 0 THEN slow_ms
                                                        ELSE fast_ms END, 0)::float8), 1)
           AS fast_left
FROM paced;
COMMENT ON VIEW paced_evidence IS
    'Evidence by metric at both paces, read at the time of each arm''s latest turn, and what is left '
    'of each at the latest turn of its (router, request type).';

CREATE VIEW effective_evidence AS
WITH judged AS (
    SELECT *, evidence_drifted(slow_n, slow_s1, slow_s2, fast_n, fast_s1) AS drifted
    FROM paced_evidence WHERE slow_n > 0
)
SELECT router, request_type, arm, metric, drifted,
       CASE WHEN drifted THEN fast_n * fast_left ELSE slow_n * slow_left END AS n,
       CASE WHEN drifted THEN fast_s1 * fast_left ELSE slow_s1 * slow_left END AS s1,
       CASE WHEN drifted THEN fast_s2 * fast_left ELSE slow_s2 * slow_left END AS s2
FROM judged;
COMMENT ON VIEW effective_evidence IS
    'Evidence by metric at each (router, request type)''s latest turn time: n observations (the '
    'newest counts 1), s1 the sum of their fixed-point values.';

CREATE VIEW posteriors AS
WITH config AS (
    SELECT DISTINCT ON (router) router, config_text::jsonb AS c
    FROM routers ORDER BY router, version DESC, config_text COLLATE "C" DESC
), deployments AS (
    SELECT k.router, a.arm ->> 'name' AS model, d.name AS arm,
           count(*) OVER (PARTITION BY k.router, a.arm ->> 'name') AS siblings
    FROM config AS k,
         jsonb_array_elements(k.c -> 'arms') AS a (arm),
         jsonb_array_elements_text(
             CASE WHEN jsonb_array_length(coalesce(a.arm -> 'deployments', '[]')) > 0
                  THEN a.arm -> 'deployments' ELSE jsonb_build_array(a.arm -> 'name') END
         ) AS d (name)
), cells AS (
    SELECT k.router, t.request_type, a.arm ->> 'name' AS model,
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
), pooled AS (
    SELECT d.router, p.request_type, d.model, p.metric,
           sum(slow_n * slow_first) AS slow_n, sum(slow_s1 * slow_first) AS slow_s1,
           sum(slow_s2 * slow_first) AS slow_s2,
           sum(fast_n * fast_first) AS fast_n, sum(fast_s1 * fast_first) AS fast_s1,
           max(slow_left / slow_first) AS slow_left, max(fast_left / fast_first) AS fast_left
    FROM deployments AS d
    JOIN paced_evidence AS p ON p.router = d.router AND p.arm = d.arm
    -- several deployments fade before they are pooled, one alone after it is judged
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.siblings > 1 THEN slow_left ELSE 1 END AS slow_first,
               CASE WHEN d.siblings > 1 THEN fast_left ELSE 1 END AS fast_first
    ) AS f
    WHERE slow_first > 0 AND fast_first > 0
    GROUP BY d.router, p.request_type, d.model, p.metric
), ruling AS (
    SELECT router, request_type, model, metric,
           CASE WHEN drifted THEN fast_n * fast_left ELSE slow_n * slow_left END AS n,
           CASE WHEN drifted THEN fast_s1 * fast_left ELSE slow_s1 * slow_left END AS s1
    FROM (SELECT *, evidence_drifted(slow_n, slow_s1, slow_s2, fast_n, fast_s1) AS drifted
          FROM pooled WHERE slow_n > 0) AS judged
), rewarded AS (
    SELECT c.router, c.request_type, c.model, c.prior_mean, c.prior_mass, c.max_mass,
           coalesce(sum((c.rewards ->> e.metric)::float8 * e.n), 0) AS total,
           coalesce(sum((c.rewards ->> e.metric)::float8 * e.s1 / 1024), 0) AS successes
    FROM cells AS c
    LEFT JOIN ruling AS e
        ON e.router = c.router AND e.request_type = c.request_type AND e.model = c.model
        AND c.rewards ? e.metric
    GROUP BY c.router, c.request_type, c.model, c.prior_mean, c.prior_mass, c.max_mass
), capped AS (
    SELECT *, CASE WHEN total > max_mass THEN max_mass / total ELSE 1 END AS scale FROM rewarded
), shaped AS (
    SELECT router, request_type, model, total AS observations,
           prior_mean * prior_mass + scale * successes AS alpha,
           (1 - prior_mean) * prior_mass + scale * greatest(total - successes, 0) AS beta
    FROM capped
)
SELECT s.router, s.request_type, d.arm, s.alpha, s.beta, s.alpha / (s.alpha + s.beta) AS mean,
       s.observations
FROM shaped AS s JOIN deployments AS d USING (router, model);
COMMENT ON VIEW posteriors IS
    'Beta posterior of every cell of every configured router: prior plus reward-weighted evidence, '
    'which the deployments of an arm share.';
