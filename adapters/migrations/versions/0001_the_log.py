"""The log, what lies beside it, and what runs it."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = """
CREATE SCHEMA log;
CREATE SCHEMA ops;

CREATE TABLE log.events (
    position bigint PRIMARY KEY,
    stream text NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    data json NOT NULL,
    meta jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (stream, version)
);
CREATE INDEX events_type ON log.events (type, position);
CREATE INDEX events_actor ON log.events ((meta ->> 'actor'), position);
CREATE INDEX events_correlation ON log.events ((meta ->> 'correlation_id'), position);
CREATE INDEX events_recorded_at ON log.events (recorded_at);
COMMENT ON TABLE log.events IS 'Every mutation, in the order of its commit. Append-only.';

CREATE TABLE log.snapshots (
    stream text NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    data json NOT NULL,
    PRIMARY KEY (stream, version)
);
COMMENT ON TABLE log.snapshots IS 'States of aggregates, to load them faster. May be dropped at any time.';

CREATE TABLE log.contents (
    sha256 bytea PRIMARY KEY,
    body bytea NOT NULL
);
ALTER TABLE log.contents ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE log.contents IS 'Content by the SHA-256 of its bytes, compressed by Zstandard.';

CREATE TABLE log.spaces (
    space_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    provider text NOT NULL,
    model text NOT NULL,
    dimension integer NOT NULL,
    revision text NOT NULL
);

CREATE TABLE log.embeddings (
    space_id smallint NOT NULL REFERENCES log.spaces,
    sha256 bytea NOT NULL,
    vector bytea NOT NULL,
    PRIMARY KEY (space_id, sha256)
);
ALTER TABLE log.embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;
COMMENT ON TABLE log.embeddings IS
    'Vectors by space and the SHA-256 of the embedded text: float32, little-endian.';

CREATE TABLE log.conversations (
    dataset text NOT NULL,
    conversation_id text NOT NULL,
    query_id bigint NOT NULL,
    content bytea NOT NULL,
    text bytea NOT NULL,
    PRIMARY KEY (dataset, conversation_id)
);
CREATE UNIQUE INDEX conversations_query ON log.conversations (dataset, query_id);
COMMENT ON TABLE log.conversations IS
    'Which conversations a data set has: the SHA-256 of each content, and of the text of its query.';

CREATE TABLE log.counters (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO log.counters VALUES ('query_id', 0);

CREATE TABLE log.commands (
    scope text NOT NULL,
    idempotency_key text NOT NULL,
    request_hash text NOT NULL,
    answer json NOT NULL,
    position bigint,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, idempotency_key)
);
COMMENT ON TABLE log.commands IS 'What was answered to a request that came with an Idempotency-Key.';

CREATE TABLE ops.progress (
    job_id text PRIMARY KEY,
    processed bigint NOT NULL,
    total bigint,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ops.progress IS 'How far running jobs are. Not history.';
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
