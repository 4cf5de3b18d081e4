-- Statements of a rebuild's side schema, which has the live tables and the two below.

-- name: create_rebuild
CREATE TABLE IF NOT EXISTS rebuild (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    topic text NOT NULL,
    settings jsonb NOT NULL,
    bounds jsonb NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'complete')),
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
)

-- name: create_rebuild_ranges
CREATE TABLE IF NOT EXISTS rebuild_ranges (
    partition integer PRIMARY KEY,
    start_offset bigint NOT NULL,
    end_offset bigint NOT NULL
)

-- name: begin_rebuild
INSERT INTO rebuild (topic, settings, bounds)
VALUES (%(topic)s, %(settings)s, %(bounds)s)
ON CONFLICT (one) DO UPDATE SET state = 'running', completed_at = NULL

-- name: save_range
INSERT INTO rebuild_ranges (partition, start_offset, end_offset)
VALUES (%(partition)s, %(start)s, %(end)s)
ON CONFLICT (partition) DO UPDATE SET end_offset = EXCLUDED.end_offset

-- name: begin_at
-- Nothing has been folded before the start; taking the partition leaves the offset as it is.
INSERT INTO partition_progress (partition, epoch, next_offset)
VALUES (%(partition)s, 0, %(start)s)
ON CONFLICT (partition) DO NOTHING

-- name: complete_rebuild
UPDATE rebuild SET state = 'complete', completed_at = now()

-- name: find_rebuild
SELECT topic, settings, bounds, state, created_at, completed_at FROM rebuild

-- name: find_ranges
SELECT partition, start_offset, end_offset FROM rebuild_ranges ORDER BY partition

-- name: list_rebuilds
SELECT substr(table_schema, length(%(prefix)s) + 1)
FROM information_schema.tables
WHERE table_name = 'rebuild' AND starts_with(table_schema, %(prefix)s)
ORDER BY table_schema

-- name: read_progress
SELECT partition, next_offset, folded, duplicates, late, dead, stream_time_ms
FROM partition_progress ORDER BY partition

-- name: read_evidence
SELECT partition, router, request_type, arm, metric, pace, half_life_ms, era,
       n::text, s1::text, s2::text
FROM evidence WHERE %(partition)s::int IS NULL OR partition = %(partition)s

-- name: read_partition_turns
SELECT turn_id, counted, ledger FROM turn_states WHERE partition = %(partition)s

-- name: read_partition_sessions
SELECT partition, session, turn_id, router, request_type, arm, exchanges, satisfied, moves
FROM sessions WHERE partition = %(partition)s
