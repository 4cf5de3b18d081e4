-- What each outcome has added to its turn, so that it can be taken back.

ALTER TABLE turn_states ADD COLUMN ledger bytea NOT NULL DEFAULT '';
COMMENT ON COLUMN turn_states.ledger IS
    'What each outcome has added, and which outcomes are void (consumer/ledger.py). Grows by '
    'appending; bit 23 of "counted" says that something is void.';
-- The outcome of a turn comes a moment after it and triples the row: room to stay on its page.
ALTER TABLE turn_states SET (fillfactor = 60);

ALTER TABLE sessions ADD COLUMN moves text NOT NULL DEFAULT '';
COMMENT ON COLUMN sessions.moves IS
    'Outcomes that named another arm as the one that served the last turn, each with the arm '
    'before it: "id arm id arm".';
