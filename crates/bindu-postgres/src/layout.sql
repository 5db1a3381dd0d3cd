-- What a schema must have. Every statement may run again, and on tables that other programs made:
-- whatever is there stays as it is, and what is missing is added.

CREATE TABLE IF NOT EXISTS {s}.contexts (
    id uuid NOT NULL,
    owner_did varchar(255),
    context_data jsonb NOT NULL DEFAULT '{}'::jsonb,
    message_history jsonb DEFAULT '[]'::jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT contexts_pkey PRIMARY KEY (id)
);
CREATE TABLE IF NOT EXISTS {s}.tasks (
    id uuid NOT NULL,
    context_id uuid NOT NULL,
    owner_did varchar(255),
    kind varchar(50) NOT NULL,
    state varchar(50) NOT NULL,
    state_timestamp timestamptz NOT NULL,
    history jsonb NOT NULL DEFAULT '[]'::jsonb,
    artifacts jsonb DEFAULT '[]'::jsonb,
    metadata jsonb DEFAULT '{}'::jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tasks_pkey PRIMARY KEY (id)
);
CREATE TABLE IF NOT EXISTS {s}.task_feedback (
    id serial NOT NULL,
    task_id uuid NOT NULL,
    feedback_data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT task_feedback_pkey PRIMARY KEY (id)
);
CREATE TABLE IF NOT EXISTS {s}.webhook_configs (
    task_id uuid NOT NULL,
    config jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_configs_pkey PRIMARY KEY (task_id)
);
COMMENT ON TABLE {s}.contexts IS 'Conversation contexts with message history';
COMMENT ON TABLE {s}.tasks IS 'A2A protocol tasks with JSONB history and artifacts';
COMMENT ON TABLE {s}.task_feedback IS 'User feedback for tasks';
COMMENT ON TABLE {s}.webhook_configs IS 'Webhook configurations for long-running task notifications';

ALTER TABLE {s}.contexts ADD COLUMN IF NOT EXISTS owner_did varchar(255);
ALTER TABLE {s}.tasks ADD COLUMN IF NOT EXISTS owner_did varchar(255);

DO $do$ DECLARE rule record; BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = '{s}.tasks'::regclass AND contype = 'f') THEN
        ALTER TABLE {s}.tasks ADD CONSTRAINT tasks_context_id_fkey
            FOREIGN KEY (context_id) REFERENCES {s}.contexts(id) ON DELETE CASCADE NOT VALID;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = '{s}.task_feedback'::regclass AND contype = 'f') THEN
        ALTER TABLE {s}.task_feedback ADD CONSTRAINT task_feedback_task_id_fkey
            FOREIGN KEY (task_id) REFERENCES {s}.tasks(id) ON DELETE CASCADE NOT VALID;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = '{s}.webhook_configs'::regclass AND contype = 'f') THEN
        ALTER TABLE {s}.webhook_configs ADD CONSTRAINT webhook_configs_task_id_fkey
            FOREIGN KEY (task_id) REFERENCES {s}.tasks(id) ON DELETE CASCADE NOT VALID;
    END IF;
    -- Rows that are there may break a rule that came later; where there are none, it holds at once.
    IF NOT EXISTS (SELECT FROM {s}.tasks) THEN
        FOR rule IN SELECT conrelid::regclass AS of, conname FROM pg_catalog.pg_constraint
            WHERE NOT convalidated AND contype = 'f' AND conrelid IN ('{s}.tasks'::regclass,
                '{s}.task_feedback'::regclass, '{s}.webhook_configs'::regclass) LOOP
            EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', rule.of, rule.conname);
        END LOOP;
    END IF;
END $do$;

CREATE INDEX IF NOT EXISTS idx_contexts_created_at ON {s}.contexts (created_at);
CREATE INDEX IF NOT EXISTS idx_contexts_updated_at ON {s}.contexts (updated_at);
CREATE INDEX IF NOT EXISTS idx_contexts_owner_did ON {s}.contexts (owner_did);
CREATE INDEX IF NOT EXISTS idx_contexts_data_gin ON {s}.contexts USING gin (context_data);
CREATE INDEX IF NOT EXISTS idx_tasks_context_id ON {s}.tasks (context_id);
CREATE INDEX IF NOT EXISTS idx_tasks_state ON {s}.tasks (state);
CREATE INDEX IF NOT EXISTS idx_tasks_created_at ON {s}.tasks (created_at);
CREATE INDEX IF NOT EXISTS idx_tasks_updated_at ON {s}.tasks (updated_at);
CREATE INDEX IF NOT EXISTS idx_tasks_owner_did ON {s}.tasks (owner_did);
CREATE INDEX IF NOT EXISTS idx_tasks_metadata_gin ON {s}.tasks USING gin (metadata);
CREATE INDEX IF NOT EXISTS idx_task_feedback_task_id ON {s}.task_feedback (task_id);
CREATE INDEX IF NOT EXISTS idx_task_feedback_created_at ON {s}.task_feedback (created_at);
CREATE INDEX IF NOT EXISTS idx_webhook_configs_created_at ON {s}.webhook_configs (created_at);

-- From here on ours. The reference names its columns, and never sees these.
ALTER TABLE {s}.contexts ADD COLUMN IF NOT EXISTS wire_id text;
ALTER TABLE {s}.tasks
    ADD COLUMN IF NOT EXISTS wire_id text,
    ADD COLUMN IF NOT EXISTS context_wire_id text,
    ADD COLUMN IF NOT EXISTS lease_owner text,
    ADD COLUMN IF NOT EXISTS lease_until timestamptz,
    ADD COLUMN IF NOT EXISTS attempt int DEFAULT 0,
    ADD COLUMN IF NOT EXISTS version bigint DEFAULT 0,
    ADD COLUMN IF NOT EXISTS cancel_requested boolean DEFAULT false,
    ADD COLUMN IF NOT EXISTS dialect text,
    ADD COLUMN IF NOT EXISTS deliveries bigint DEFAULT 0,
    ADD COLUMN IF NOT EXISTS status_message jsonb,
    ADD COLUMN IF NOT EXISTS has_webhooks boolean,
    ADD COLUMN IF NOT EXISTS logged_at timestamptz,
    ADD COLUMN IF NOT EXISTS last_write uuid;
-- Nobody's rows under a name too: in a list of what has no owner the planner would see no order.
CREATE INDEX IF NOT EXISTS bindu_tasks_of_owner ON {s}.tasks
    ((coalesce(owner_did::text, '')), created_at, id);
CREATE INDEX IF NOT EXISTS bindu_contexts_of_owner ON {s}.contexts
    ((coalesce(owner_did::text, '')), created_at, id);

CREATE TABLE IF NOT EXISTS {s}.bindu_meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS {s}.bindu_events (
    task_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    event jsonb NOT NULL,
    write_id uuid,
    PRIMARY KEY (task_id, seq)
);
CREATE TABLE IF NOT EXISTS {s}.bindu_outbox (
    id bigserial PRIMARY KEY,
    task_id uuid NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    next_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    done_at timestamptz,
    version bigint,
    context_id uuid,
    owner_did text,
    taken_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    write_id uuid
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX IF NOT EXISTS bindu_outbox_runs ON {s}.bindu_outbox (id)
    WHERE kind = 'run' AND done_at IS NULL;
CREATE INDEX IF NOT EXISTS bindu_outbox_contexts ON {s}.bindu_outbox (context_id, id)
    WHERE context_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS bindu_outbox_versions ON {s}.bindu_outbox (task_id, version)
    WHERE kind = 'run' AND done_at IS NULL;
CREATE INDEX IF NOT EXISTS bindu_outbox_deliveries ON {s}.bindu_outbox (id) WHERE kind = 'deliver';
CREATE INDEX IF NOT EXISTS bindu_outbox_of_task ON {s}.bindu_outbox (task_id, id) WHERE kind = 'deliver';
CREATE TABLE IF NOT EXISTS {s}.bindu_webhooks (
    task_id uuid NOT NULL,
    config_id text NOT NULL,
    config jsonb NOT NULL,
    dialect text NOT NULL,
    position bigserial,
    PRIMARY KEY (task_id, config_id)
);
CREATE TABLE IF NOT EXISTS {s}.bindu_once (
    owner text NOT NULL,
    message text NOT NULL,
    task_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (owner, message)
);
CREATE INDEX IF NOT EXISTS bindu_once_until ON {s}.bindu_once (until);
CREATE SEQUENCE IF NOT EXISTS {s}.bindu_state_version;
CREATE TABLE IF NOT EXISTS {s}.bindu_agent_state (
    scope text NOT NULL,
    key text NOT NULL COLLATE "C",
    value jsonb NOT NULL,
    version bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE TABLE IF NOT EXISTS {s}.bindu_replay (
    key text PRIMARY KEY,
    until timestamptz NOT NULL,
    claim uuid NOT NULL
);
CREATE INDEX IF NOT EXISTS bindu_replay_until ON {s}.bindu_replay (until);
-- A payment may be there before its task, and stays when that goes. json keeps texts as they came.
CREATE TABLE IF NOT EXISTS {s}.bindu_payments (
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    state text NOT NULL,
    task_id text NOT NULL,
    owner_did text,
    payload json NOT NULL,
    requirements json NOT NULL,
    receipt json,
    error text,
    attempts bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    write_id uuid NOT NULL
);
CREATE INDEX IF NOT EXISTS bindu_payments_by_age ON {s}.bindu_payments (created_at, key);
CREATE INDEX IF NOT EXISTS bindu_payments_by_state ON {s}.bindu_payments (state, created_at, key);
CREATE INDEX IF NOT EXISTS bindu_payments_by_task ON {s}.bindu_payments (task_id, created_at, key);
CREATE INDEX IF NOT EXISTS bindu_payments_due ON {s}.bindu_payments (due_at, key)
    WHERE due_at IS NOT NULL;

-- What hangs on a task goes with it, whoever deletes it. No foreign keys: each row of the log would
-- pay for the check, and a job may be queued before anything else is known of its task.
CREATE OR REPLACE FUNCTION {s}.bindu_forget_task() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN
    DELETE FROM {s}.bindu_events WHERE task_id = OLD.id;
    DELETE FROM {s}.bindu_outbox WHERE task_id = OLD.id AND kind = 'run' AND done_at IS NULL;
    DELETE FROM {s}.bindu_outbox WHERE task_id = OLD.id AND kind = 'deliver';
    DELETE FROM {s}.bindu_webhooks WHERE task_id = OLD.id;
    RETURN NULL;
END $fn$;
CREATE OR REPLACE FUNCTION {s}.bindu_forget_context() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN
    DELETE FROM {s}.bindu_agent_state WHERE scope = 'context:' || OLD.id;
    RETURN NULL;
END $fn$;
-- Where another trigger sets updated_at behind the writer's back, a write of ours must still not
-- look like one of the reference's. Of several triggers the last by name runs last.
CREATE OR REPLACE FUNCTION {s}.bindu_note_write() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN
    IF NEW.last_write IS DISTINCT FROM OLD.last_write
        OR (OLD.logged_at = OLD.updated_at
            AND (NEW.owner_did, NEW.state, NEW.state_timestamp, NEW.history, NEW.artifacts, NEW.metadata)
                IS NOT DISTINCT FROM
                (OLD.owner_did, OLD.state, OLD.state_timestamp, OLD.history, OLD.artifacts, OLD.metadata)) THEN
        NEW.logged_at := NEW.updated_at;
    END IF;
    RETURN NEW;
END $fn$;
DO $do$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '{s}.tasks'::regclass AND tgname = 'bindu_forget_task') THEN
        CREATE TRIGGER bindu_forget_task AFTER DELETE ON {s}.tasks
            FOR EACH ROW EXECUTE FUNCTION {s}.bindu_forget_task();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '{s}.contexts'::regclass AND tgname = 'bindu_forget_context') THEN
        CREATE TRIGGER bindu_forget_context AFTER DELETE ON {s}.contexts
            FOR EACH ROW EXECUTE FUNCTION {s}.bindu_forget_context();
    END IF;
    -- tgtype: 1 for each row, 2 before, 16 update.
    IF EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '{s}.tasks'::regclass
            AND NOT tgisinternal AND tgtype & 19 = 19 AND tgname <> 'zzz_bindu_note_write')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '{s}.tasks'::regclass
            AND tgname = 'zzz_bindu_note_write') THEN
        CREATE TRIGGER zzz_bindu_note_write BEFORE UPDATE ON {s}.tasks
            FOR EACH ROW EXECUTE FUNCTION {s}.bindu_note_write();
    END IF;
END $do$;
