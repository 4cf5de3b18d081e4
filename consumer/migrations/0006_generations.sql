-- Which tables are live. In the first schema only; a rebuild's has none.

CREATE TABLE generations (
    generation bigint PRIMARY KEY CHECK (generation > 0),
    name text NOT NULL,
    schema_name text NOT NULL,
    settings jsonb NOT NULL,
    starts jsonb NOT NULL,
    offsets jsonb NOT NULL,
    command text NOT NULL CHECK (command IN ('promote', 'rollback')),
    former bigint CHECK (former < generation),
    promoted_at timestamptz NOT NULL DEFAULT now(),
    announced_at timestamptz
);
COMMENT ON TABLE generations IS
    'One row for each promote and rollback; the highest generation is live. Without any this schema '
    'is, as generation 0.';
COMMENT ON COLUMN generations.offsets IS
    'Next offset of each partition at the switch: all before is counted in the tables of this row.';
COMMENT ON COLUMN generations.former IS 'What a rollback goes back to; null: nothing.';
COMMENT ON COLUMN generations.announced_at IS 'When its GenerationPromoted event was in the log.';
