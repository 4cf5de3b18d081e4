-- Statements of `routefold dead-letters`.

-- name: count_dead_letters
SELECT reason, count(*), count(*) FILTER (WHERE redriven_at IS NULL),
       min(log_time_ms), max(log_time_ms)
FROM dead_letters GROUP BY reason ORDER BY 2 DESC, reason

-- name: list_dead_letters
-- What became of a redriven letter: its new record is dead again, or the fold has passed it, or not.
SELECT d.partition, d.record_offset, d.log_time_ms, d.record_key, d.record_value, d.reason,
       d.detail, d.redriven_at, d.redriven_partition, d.redriven_offset,
       a.reason AS reason_again, p.next_offset AS folded_to,
       f.partition AS from_partition, f.record_offset AS from_offset
FROM dead_letters AS d
LEFT JOIN dead_letters AS a
    ON a.partition = d.redriven_partition AND a.record_offset = d.redriven_offset
LEFT JOIN partition_progress AS p ON p.partition = d.redriven_partition
LEFT JOIN dead_letters AS f
    ON f.redriven_partition = d.partition AND f.redriven_offset = d.record_offset
    AND f.redriven_at IS NOT NULL
WHERE (%(reason)s::text IS NULL OR d.reason = %(reason)s)
  AND (%(partition)s::int IS NULL
       OR d.partition = %(partition)s AND d.record_offset = %(record_offset)s)
ORDER BY d.log_time_ms DESC, d.partition, d.record_offset DESC
LIMIT %(limit)s

-- name: choose_dead_letters
-- In the order of the log, so that a session's events go back in the order in which they came.
SELECT partition, record_offset
FROM dead_letters
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s) AND (redriven_at IS NULL OR %(again)s)
ORDER BY log_time_ms, partition, record_offset

-- name: lock_dead_letters
SELECT d.partition, d.record_offset, d.record_key, d.record_value, d.redriven_at IS NOT NULL
FROM dead_letters AS d
JOIN unnest(%(partition)s::int[], %(record_offset)s::bigint[])
    WITH ORDINALITY AS i (partition, record_offset, place)
    ON d.partition = i.partition AND d.record_offset = i.record_offset
ORDER BY i.place
FOR UPDATE OF d

-- name: mark_redriven
UPDATE dead_letters AS d
SET redriven_at = now(), redriven_partition = n.new_partition, redriven_offset = n.new_offset
FROM unnest(%(partition)s::int[], %(record_offset)s::bigint[], %(new_partition)s::int[],
            %(new_offset)s::bigint[])
    AS n (partition, record_offset, new_partition, new_offset)
WHERE d.partition = n.partition AND d.record_offset = n.record_offset

-- name: known_dead_letter_reasons
SELECT DISTINCT reason FROM dead_letters
