-- Dead letters that were published again, and where the log has the new record.

ALTER TABLE dead_letters
    ADD COLUMN redriven_at timestamptz,
    ADD COLUMN redriven_partition integer,
    ADD COLUMN redriven_offset bigint;
COMMENT ON COLUMN dead_letters.redriven_at IS
    'When its bytes were last published again by `routefold dead-letters redrive`; null: never.';
COMMENT ON COLUMN dead_letters.redriven_offset IS
    'Offset of the new record in redriven_partition. A dead letter at that place is this one again.';
-- To tell of a dead letter that it is the new record of another.
CREATE INDEX dead_letters_redriven_to ON dead_letters (redriven_partition, redriven_offset)
    WHERE redriven_at IS NOT NULL;
