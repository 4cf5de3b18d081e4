-- The course of each session, so that what a message says about the turn before it is credited there.

ALTER TABLE routers ADD COLUMN signals text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN routers.signals IS
    'Signals that count: all that any configuration has named. Without one no session is followed.';

CREATE TABLE sessions (
    partition integer NOT NULL,
    session uuid NOT NULL,
    turn_id uuid NOT NULL,
    router text NOT NULL,
    request_type text NOT NULL,
    arm text NOT NULL,
    exchanges integer NOT NULL,
    satisfied boolean NOT NULL,
    PRIMARY KEY (partition, session)
) WITH (fillfactor = 70);
COMMENT ON TABLE sessions IS
    'The last turn of each session within its attribution window. The session is a hash of the '
    'router and the id that the client gave.';
