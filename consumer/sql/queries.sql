-- Every statement of the consumer. The schema is chosen by search_path, so that a rebuild runs the
-- same statements beside the live tables.

-- name: create_staging
CREATE TEMP TABLE IF NOT EXISTS incoming_turns (
    turn integer NOT NULL, partition integer NOT NULL, turn_id uuid NOT NULL
) ON COMMIT DELETE ROWS

-- name: create_staging_sets
CREATE TEMP TABLE IF NOT EXISTS changed_turns (
    partition integer NOT NULL, turn_id uuid NOT NULL, counted bigint NOT NULL,
    entries bytea NOT NULL
) ON COMMIT DELETE ROWS

-- name: create_staging_sessions
CREATE TEMP TABLE IF NOT EXISTS incoming_sessions (
    partition integer NOT NULL, session uuid NOT NULL
) ON COMMIT DELETE ROWS

-- name: create_staging_changed_sessions
CREATE TEMP TABLE IF NOT EXISTS changed_sessions (
    partition integer, session uuid, turn_id uuid, router text, request_type text, arm text,
    exchanges integer, satisfied boolean, moves text
) ON COMMIT DELETE ROWS

-- name: take_partition
-- Fence first, read the resume point second: after this no earlier writer can commit. An epoch is
-- milliseconds since 1970, but always above the one before: routers take what a database says that
-- was made anew for newer than what the lost one said.
INSERT INTO partition_progress AS p (partition, epoch, next_offset)
VALUES (%(partition)s, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 0)
ON CONFLICT (partition) DO UPDATE SET
    epoch = greatest(p.epoch + 1, EXCLUDED.epoch), updated_at = now()
RETURNING epoch, next_offset, folded, duplicates, late, dead, stream_time_ms

-- name: lock_progress
SELECT partition, epoch, next_offset
FROM partition_progress WHERE partition = ANY(%(partitions)s)
ORDER BY partition FOR UPDATE

-- name: advance_progress
UPDATE partition_progress AS p
SET next_offset = d.next_offset,
    folded = p.folded + d.folded,
    duplicates = p.duplicates + d.duplicates,
    late = p.late + d.late,
    dead = p.dead + d.dead,
    stream_time_ms = d.stream_time_ms,
    updated_at = now()
FROM unnest(%(partition)s::int[], %(epoch)s::bigint[], %(start)s::bigint[],
            %(next_offset)s::bigint[], %(folded)s::bigint[], %(duplicates)s::bigint[],
            %(late)s::bigint[], %(dead)s::bigint[], %(stream_time_ms)s::bigint[])
    AS d (partition, epoch, start, next_offset, folded, duplicates, late, dead, stream_time_ms)
WHERE p.partition = d.partition AND p.epoch = d.epoch AND p.next_offset = d.start

-- name: copy_incoming_turns
COPY incoming_turns (turn, partition, turn_id) FROM STDIN (FORMAT BINARY)

-- name: copy_counted
COPY (
    SELECT i.turn, t.counted
    FROM incoming_turns AS i JOIN turn_states AS t USING (partition, turn_id)
) TO STDOUT (FORMAT BINARY)

-- name: copy_new_turns
COPY turn_states (partition, turn_id, counted, ledger) FROM STDIN (FORMAT BINARY)

-- name: copy_changed_turns
COPY changed_turns (partition, turn_id, counted, entries) FROM STDIN (FORMAT BINARY)

-- name: update_turns
UPDATE turn_states AS t SET counted = c.counted, ledger = t.ledger || c.entries
FROM changed_turns AS c WHERE t.partition = c.partition AND t.turn_id = c.turn_id

-- name: read_ledgers
SELECT i.place, t.ledger
FROM unnest(%(place)s::int[], %(partition)s::int[], %(turn_id)s::uuid[])
    AS i (place, partition, turn_id)
JOIN turn_states AS t USING (partition, turn_id)

-- name: save_ledgers
INSERT INTO turn_states (partition, turn_id, counted, ledger)
SELECT * FROM unnest(%(partition)s::int[], %(turn_id)s::uuid[], %(counted)s::bigint[],
                     %(ledger)s::bytea[])
ON CONFLICT (partition, turn_id)
DO UPDATE SET counted = EXCLUDED.counted, ledger = EXCLUDED.ledger

-- name: copy_incoming_sessions
COPY incoming_sessions (partition, session) FROM STDIN (FORMAT BINARY)

-- name: read_sessions
SELECT s.partition, s.session, s.turn_id, s.router, s.request_type, s.arm, s.exchanges, s.satisfied,
       s.moves
FROM incoming_sessions AS i JOIN sessions AS s USING (partition, session)

-- name: copy_changed_sessions
COPY changed_sessions FROM STDIN

-- name: copy_new_sessions
COPY sessions (partition, session, turn_id, router, request_type, arm, exchanges, satisfied, moves)
FROM STDIN

-- name: update_sessions
UPDATE sessions AS s
SET turn_id = c.turn_id, request_type = c.request_type, arm = c.arm, exchanges = c.exchanges,
    satisfied = c.satisfied, moves = c.moves
FROM changed_sessions AS c WHERE s.partition = c.partition AND s.session = c.session

-- name: save_sessions
INSERT INTO sessions SELECT * FROM changed_sessions
ON CONFLICT (partition, session)
DO UPDATE SET turn_id = EXCLUDED.turn_id, router = EXCLUDED.router,
              request_type = EXCLUDED.request_type, arm = EXCLUDED.arm,
              exchanges = EXCLUDED.exchanges, satisfied = EXCLUDED.satisfied,
              moves = EXCLUDED.moves

-- name: forget_sessions
DELETE FROM sessions WHERE partition = %(partition)s AND turn_id < %(before)s

-- name: newest_turns
SELECT p.partition,
       (SELECT t.turn_id FROM turn_states AS t WHERE t.partition = p.partition
        ORDER BY t.turn_id DESC LIMIT 1)
FROM unnest(%(partitions)s::int[]) AS p (partition)

-- name: forget_turns
-- Turn ids begin with their time, so one bound names all turns whose window has passed.
DELETE FROM turn_states WHERE partition = %(partition)s AND turn_id < %(before)s

-- name: create_staging_evidence
CREATE TEMP TABLE IF NOT EXISTS incoming_evidence (
    partition integer, router text, request_type text, arm text, metric text, pace text,
    half_life_ms bigint, era bigint, n numeric, s1 numeric, s2 numeric
) ON COMMIT DELETE ROWS

-- name: copy_evidence
COPY incoming_evidence FROM STDIN

-- name: add_evidence
INSERT INTO evidence AS e
    (partition, router, request_type, arm, metric, pace, half_life_ms, era, n, s1, s2)
SELECT * FROM incoming_evidence
ON CONFLICT (router, request_type, arm, metric, pace, half_life_ms, era, partition)
DO UPDATE SET n = e.n + EXCLUDED.n, s1 = e.s1 + EXCLUDED.s1, s2 = e.s2 + EXCLUDED.s2

-- name: add_counts
INSERT INTO event_counts AS c
    (partition, router, request_type, folded, duplicates, late, as_of_ms)
SELECT *
FROM unnest(%(partition)s::int[], %(router)s::text[], %(request_type)s::text[],
            %(folded)s::bigint[], %(duplicates)s::bigint[], %(late)s::bigint[],
            %(as_of_ms)s::bigint[])
ON CONFLICT (partition, router, request_type)
DO UPDATE SET folded = c.folded + EXCLUDED.folded,
              duplicates = c.duplicates + EXCLUDED.duplicates,
              late = c.late + EXCLUDED.late,
              as_of_ms = greatest(c.as_of_ms, EXCLUDED.as_of_ms)

-- name: save_router
INSERT INTO routers AS r
    (partition, router, version, config_text, window_ms, arms, request_types, declared_metrics, signals,
     quality_slow_ms, quality_fast_ms, latency_slow_ms, latency_fast_ms)
VALUES
    (%(partition)s, %(router)s, %(version)s, %(config_text)s, %(window_ms)s, %(arms)s,
     %(request_types)s, %(declared_metrics)s, %(signals)s, %(quality_slow_ms)s, %(quality_fast_ms)s,
     %(latency_slow_ms)s, %(latency_fast_ms)s)
ON CONFLICT (partition, router)
DO UPDATE SET version = EXCLUDED.version, config_text = EXCLUDED.config_text,
              window_ms = EXCLUDED.window_ms, arms = EXCLUDED.arms,
              request_types = EXCLUDED.request_types,
              declared_metrics = EXCLUDED.declared_metrics, signals = EXCLUDED.signals

-- name: forget_eras
-- What ended eight eras (128 half-lives) before the arm's latest turn is read by nobody.
DELETE FROM evidence AS e USING event_counts AS c
WHERE e.partition = %(partition)s AND e.half_life_ms > 0
  AND c.partition = e.partition AND c.router = e.router AND c.request_type = e.request_type
  AND e.era < evidence_era(
      CASE WHEN e.metric = 'picked' THEN c.as_of_ms
           ELSE coalesce((SELECT s.seen_ms FROM arm_seen AS s
                          WHERE s.partition = e.partition AND s.router = e.router
                            AND s.request_type = e.request_type AND s.arm = e.arm), c.as_of_ms)
      END, e.half_life_ms) - 8

-- name: load_routers
SELECT partition, router, version, config_text, window_ms, arms, request_types, declared_metrics, signals,
       quality_slow_ms, quality_fast_ms, latency_slow_ms, latency_fast_ms
FROM routers WHERE partition = ANY(%(partitions)s)

-- name: load_counts
SELECT c.partition, c.router, c.request_type, c.folded, c.duplicates, c.late, c.as_of_ms,
       coalesce(jsonb_object_agg(s.arm, s.seen_ms) FILTER (WHERE s.arm IS NOT NULL), '{}')
FROM event_counts AS c LEFT JOIN arm_seen AS s USING (partition, router, request_type)
WHERE c.partition = ANY(%(partitions)s)
GROUP BY c.partition, c.router, c.request_type

-- name: add_arm_seen
INSERT INTO arm_seen AS s (partition, router, request_type, arm, seen_ms)
SELECT *
FROM unnest(%(partition)s::int[], %(router)s::text[], %(request_type)s::text[], %(arm)s::text[],
            %(seen_ms)s::bigint[])
ON CONFLICT (partition, router, request_type, arm)
DO UPDATE SET seen_ms = greatest(s.seen_ms, EXCLUDED.seen_ms)

-- name: load_evidence
SELECT partition, router, request_type, arm, metric, pace, half_life_ms, era,
       n::text, s1::text, s2::text
FROM evidence
JOIN event_counts USING (partition, router, request_type)
LEFT JOIN arm_seen USING (partition, router, request_type, arm)
WHERE partition = ANY(%(partitions)s)
  AND era > evidence_era(CASE WHEN metric = 'picked' THEN as_of_ms
                              ELSE coalesce(seen_ms, as_of_ms) END, half_life_ms) - 2

-- name: add_dead_letter
INSERT INTO dead_letters
    (partition, record_offset, log_time_ms, record_key, record_value, reason, detail)
VALUES
    (%(partition)s, %(record_offset)s, %(log_time_ms)s, %(record_key)s, %(record_value)s,
     %(reason)s, %(detail)s)
