-- Which tables are live: the highest generation's, wherever search_path leads.

-- name: all_generations
SELECT generation, name, schema_name, settings, starts, offsets, command, former, promoted_at,
       announced_at
FROM routefold.generations ORDER BY generation

-- name: live_generation
SELECT generation, name, schema_name, settings, starts, offsets, command, former, promoted_at,
       announced_at
FROM routefold.generations ORDER BY generation DESC LIMIT 1

-- name: live_number
SELECT coalesce(max(generation), 0) FROM routefold.generations

-- name: live_schema
SELECT schema_name FROM routefold.generations ORDER BY generation DESC LIMIT 1

-- name: hold_generation
-- Other writers may take partitions meanwhile; a switch waits.
LOCK TABLE routefold.generations IN SHARE MODE

-- name: lock_generations
-- Nobody takes a partition meanwhile; whoever wants to waits, and then finds the new generation.
LOCK TABLE routefold.generations IN EXCLUSIVE MODE

-- name: lock_all_progress
SELECT partition, epoch, next_offset FROM partition_progress ORDER BY partition FOR UPDATE

-- name: read_schema_exists
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s)

-- name: add_generation
INSERT INTO routefold.generations
    (generation, name, schema_name, settings, starts, offsets, command, former)
VALUES
    (%(generation)s, %(name)s, %(schema)s, %(settings)s, %(starts)s, %(offsets)s, %(command)s,
     %(former)s)

-- name: fence_all
-- A writer that holds one of these partitions can't commit any more.
UPDATE partition_progress SET epoch = epoch + 1, updated_at = now()

-- name: raise_epochs
-- Above those of the tables that were live: epochs never go back.
UPDATE partition_progress SET epoch = greatest(epoch, %(epoch)s) + 1, updated_at = now()

-- name: mark_announced
UPDATE routefold.generations SET announced_at = now()
WHERE generation = %(generation)s AND announced_at IS NULL
