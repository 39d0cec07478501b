"""Answers of language models that are not paid for twice, and what the models were used for."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
CREATE TABLE ops.answers (
    sha256 bytea PRIMARY KEY,
    model text NOT NULL,
    value json NOT NULL,
    query_ids bigint[] NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX answers_query_ids ON ops.answers USING gin (query_ids);
CREATE INDEX answers_answered_at ON ops.answers (answered_at);
COMMENT ON TABLE ops.answers IS
    'Answers of language models by the SHA-256 of model and question. May be emptied at any time.';

CREATE INDEX conversations_erased ON log.conversations (query_id) WHERE content = '';

CREATE TABLE ops.model_usage (
    model text PRIMARY KEY,
    calls bigint NOT NULL,
    cached bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    seconds double precision NOT NULL,
    cost_usd double precision NOT NULL,
    unpriced_calls bigint NOT NULL
);
CREATE TABLE ops.model_failures (
    model text,
    kind text,
    count bigint NOT NULL,
    PRIMARY KEY (model, kind)
);
COMMENT ON TABLE ops.model_usage IS 'What language models were used for, by all processes. Not history.';
"""


def upgrade() -> None:
    op.execute(STATEMENTS)
