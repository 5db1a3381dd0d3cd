//! The statements of tasks, with their schema written into them.
//!
//! Each is prepared once per connection. None relies on a search path.

use crate::schema::quoted;

/// What a [`Record`](bindu_storage::Record) is read from; `t` is the task's row. The numbers of the
/// columns are in [`row`](crate::row).
const RECORD: &str = "\
t.id, t.wire_id, t.context_id, t.context_wire_id, t.state::text, t.state_timestamp, t.history, \
t.artifacts, t.metadata, t.status_message, t.owner_did::text, t.version, t.dialect, t.lease_owner, \
t.lease_until, t.attempt, t.deliveries, t.created_at, t.updated_at, t.logged_at, t.last_write, \
{hooks}";

/// The webhooks of `t`, ours and the reference's one. Not looked for where there are none.
const HOOKS: &str = "\
CASE WHEN t.has_webhooks IS NOT FALSE THEN (SELECT jsonb_agg(jsonb_build_object('config', w.config, \
'dialect', w.dialect) ORDER BY w.position) FROM {s}.bindu_webhooks w WHERE w.task_id = t.id) END, \
CASE WHEN t.has_webhooks IS NOT FALSE THEN (SELECT c.config FROM {s}.webhook_configs c WHERE \
c.task_id = t.id) END";

/// A key under which a write happens once; see `once` in `commit.rs` for what makes it valid.
const ONCE_USED: &str = "\
used AS (SELECT o.task_id FROM {s}.bindu_once o JOIN {s}.tasks x ON x.id = o.task_id \
AND x.created_at = o.created_at WHERE o.owner = {owner} AND o.message = {message} AND o.until > {at})";

/// Takes the key for the task that `{from}` wrote. If another write took it at the same time, and it
/// is still good, the NULL breaks a rule of the table and with it the whole statement.
const ONCE_TAKEN: &str = "\
taken AS (INSERT INTO {s}.bindu_once AS o (owner, message, task_id, created_at, until) \
SELECT {owner}, {message}, w.id, w.created_at, {until} FROM {from} w WHERE {message} IS NOT NULL \
ON CONFLICT (owner, message) DO UPDATE SET task_id = excluded.task_id, \
created_at = excluded.created_at, until = CASE WHEN o.until > {at} AND EXISTS (SELECT FROM {s}.tasks \
x WHERE x.id = o.task_id AND x.created_at = o.created_at) THEN NULL ELSE excluded.until END)";

/// The events of the task that `{from}` wrote; its version is already the last one's number.
const EVENTS: &str = "\
logged AS (INSERT INTO {s}.bindu_events (task_id, seq, at, event, write_id) \
SELECT w.id, w.version - cardinality({events}) + e.place, {at}, e.event, {write} \
FROM {from} w, unnest({events}) WITH ORDINALITY AS e(event, place))";

/// What is to be done about it.
const OUTBOX: &str = "\
queued AS (INSERT INTO {s}.bindu_outbox (task_id, kind, payload, next_at, version, context_id, \
owner_did, write_id) SELECT w.id, q.kind, q.payload, {at}, q.version, \
CASE WHEN q.kind = 'run' THEN w.context_id END, w.owner_did, \
{write} FROM {from} w, unnest({kinds}, {payloads}, {versions}) WITH ORDINALITY AS \
q(kind, payload, version, place) ORDER BY q.place \
ON CONFLICT (task_id, version) WHERE kind = 'run' AND done_at IS NULL \
DO UPDATE SET write_id = excluded.write_id RETURNING id)";

/// The statements of one schema.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    schema: String,
    pub(crate) load: String,
    pub(crate) create: String,
    pub(crate) advance: String,
    pub(crate) advance_once: String,
    pub(crate) absorb: String,
    pub(crate) events: String,
    pub(crate) renew: String,
    pub(crate) stranded: String,
    pub(crate) outbox: String,
    pub(crate) outbox_of_task: String,
}

impl Sql {
    pub(crate) fn new(schema: &str) -> Self {
        let schema = quoted(schema);
        let all = |text: &str| {
            text.replace("{record}", RECORD).replace("{hooks}", HOOKS).replace("{s}", &schema)
        };
        Self {
            load: all(LOAD),
            create: all(&create()),
            advance: all(&advance(false)),
            advance_once: all(&advance(true)),
            absorb: all(ABSORB),
            events: all(LOG),
            renew: all(RENEW),
            stranded: all(STRANDED),
            outbox: all(OUTBOX_READ),
            outbox_of_task: all(OUTBOX_OF_TASK),
            schema,
        }
    }

    /// A statement that is written where it is used; `{s}` is the schema.
    pub(crate) fn of(&self, text: &str) -> String {
        text.replace("{record}", RECORD).replace("{hooks}", HOOKS).replace("{s}", &self.schema)
    }
}

/// The statements of a task's life, as the store prepares them: for whoever wants to know what the
/// server is asked, such as a benchmark that asks the same without us. Parameters are `$1` and so on;
/// their types stand in the text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statements {
    /// Makes a task, with its context, log and outbox entries.
    pub create: String,
    /// Every later change of a task: its claim, what a run adds, its end.
    pub advance: String,
    /// Loads a task.
    pub load: String,
    /// Reads a task's log.
    pub events: String,
    /// Moves the end of a run's lease.
    pub renew: String,
}

impl Statements {
    /// The statements for a schema.
    ///
    /// ```
    /// let statements = bindu_postgres::Statements::of("did_key_z6mkhaxu");
    /// assert!(statements.load.contains(r#""did_key_z6mkhaxu".tasks"#));
    /// ```
    #[must_use]
    pub fn of(schema: &str) -> Self {
        let Sql { create, advance, load, events, renew, .. } = Sql::new(schema);
        Self { create, advance, load, events, renew }
    }
}

const LOAD: &str =
    "SELECT {record} FROM {s}.tasks t WHERE t.id = $1 AND t.wire_id IS NOT DISTINCT FROM $2::text";

const LOG: &str = "\
SELECT t.logged_at IS DISTINCT FROM t.updated_at, e.seq, e.at, e.event FROM {s}.tasks t \
LEFT JOIN LATERAL (SELECT l.seq, l.at, l.event FROM {s}.bindu_events l WHERE l.task_id = t.id \
AND l.seq > $3 ORDER BY l.seq LIMIT $4) e ON true \
WHERE t.id = $1 AND t.wire_id IS NOT DISTINCT FROM $2::text ORDER BY e.seq";

/// Enters what another program wrote into the log, unless somebody else just did.
const ABSORB: &str = "\
WITH found AS (UPDATE {s}.tasks t SET version = coalesce(t.version, 0) + 1, logged_at = t.updated_at, \
lease_owner = CASE WHEN t.state = 'working' THEN t.lease_owner END, \
lease_until = CASE WHEN t.state = 'working' THEN t.lease_until END, \
status_message = NULL, last_write = $5 \
WHERE t.id = $1 AND t.updated_at = $2 AND coalesce(t.version, 0) = $3 \
AND t.logged_at IS DISTINCT FROM t.updated_at RETURNING t.id, t.version) \
INSERT INTO {s}.bindu_events (task_id, seq, at, event, write_id) \
SELECT f.id, f.version, $2, $4, $5 FROM found f";

const RENEW: &str = "\
UPDATE {s}.tasks t SET lease_until = $3 WHERE t.id = $1 AND t.lease_owner = $2::text RETURNING 1";

const STRANDED: &str = "\
SELECT {record} FROM {s}.tasks t WHERE t.state IN ('submitted', 'resumed', 'working') AND ( \
(t.state <> 'working' AND t.state_timestamp < $2) \
OR (t.state = 'working' AND t.lease_owner IS NOT NULL AND t.lease_until < $1) \
OR (t.state = 'working' AND t.lease_owner IS NULL AND t.state_timestamp < $3)) \
ORDER BY CASE WHEN t.lease_owner IS NULL THEN t.state_timestamp ELSE t.lease_until END, t.id LIMIT $4";

const OUTBOX_READ: &str = "\
SELECT o.id, o.task_id, o.payload, o.attempts, o.next_at, o.version, o.kind FROM {s}.bindu_outbox o \
WHERE o.kind = $1::text AND o.done_at IS NULL AND ($2::timestamptz IS NULL OR o.next_at <= $2) \
ORDER BY o.id LIMIT $3";

const OUTBOX_OF_TASK: &str = "\
SELECT o.id, o.task_id, o.payload, o.attempts, o.next_at, o.version, o.kind FROM {s}.bindu_outbox o \
WHERE o.kind = $1::text AND o.done_at IS NULL AND ($2::timestamptz IS NULL OR o.next_at <= $2) \
AND o.task_id = $4 ORDER BY o.id LIMIT $3";

fn create() -> String {
    let once = |text: &str| {
        text.replace("{owner}", "$24::text")
            .replace("{message}", "$25::text")
            .replace("{until}", "$26::timestamptz")
    };
    let text = format!(
        "WITH {used}, \
         there AS (SELECT c.owner_did IS NOT DISTINCT FROM $5::text \
         AND c.wire_id IS NOT DISTINCT FROM $4::text AS ours FROM {{s}}.contexts c WHERE c.id = $3), \
         context AS (INSERT INTO {{s}}.contexts (id, wire_id, owner_did, context_data, \
         message_history, created_at, updated_at) SELECT $3, $4::text, $5::text, '{{}}', '[]', {{at}}, \
         {{at}} WHERE NOT EXISTS (SELECT FROM there) AND NOT EXISTS (SELECT FROM used) \
         ON CONFLICT (id) DO NOTHING RETURNING id), \
         born AS (INSERT INTO {{s}}.tasks (id, wire_id, context_id, context_wire_id, owner_did, kind, \
         state, state_timestamp, history, artifacts, metadata, created_at, updated_at, logged_at, \
         status_message, version, dialect, lease_owner, lease_until, attempt, deliveries, last_write, \
         has_webhooks) SELECT $1, $2::text, $3, $4::text, $5::text, 'task', $6::text, $7, $8, $9, $10, \
         {{at}}, {{at}}, {{at}}, $11::jsonb, $13, $14::text, $15::text, $16::timestamptz, $17, $18, \
         {{write}}, cardinality($27::text[]) > 0 WHERE NOT EXISTS (SELECT FROM used) \
         AND (EXISTS (SELECT FROM context) OR EXISTS (SELECT FROM there WHERE ours)) \
         RETURNING id, context_id, owner_did, version, created_at), \
         {EVENTS}, {OUTBOX}, {taken}, \
         hooked AS (INSERT INTO {{s}}.bindu_webhooks (task_id, config_id, config, dialect) \
         SELECT w.id, h.id, h.config, h.dialect FROM born w, unnest($27::text[], $28::jsonb[], \
         $29::text[]) WITH ORDINALITY AS h(id, config, dialect, place) ORDER BY h.place), \
         shown AS (INSERT INTO {{s}}.webhook_configs (task_id, config, created_at, updated_at) \
         SELECT w.id, ($28::jsonb[])[cardinality($28::jsonb[])], {{at}}, {{at}} FROM born w \
         WHERE cardinality($28::jsonb[]) > 0) \
         SELECT EXISTS (SELECT FROM born), EXISTS (SELECT FROM used), \
         (SELECT array_agg(id ORDER BY id) FROM queued)",
        used = once(ONCE_USED),
        taken = once(ONCE_TAKEN),
    );
    text.replace("{from}", "born")
        .replace("{at}", "$12::timestamptz")
        .replace("{write}", "$19::uuid")
        .replace("{events}", "$20::jsonb[]")
        .replace("{kinds}", "$21::text[]")
        .replace("{payloads}", "$22::jsonb[]")
        .replace("{versions}", "$23::bigint[]")
}

fn advance(once: bool) -> String {
    let of_key = |text: &str| {
        text.replace("{owner}", "$24::text")
            .replace("{message}", "$25::text")
            .replace("{until}", "$26::timestamptz")
    };
    let (used, free, taken) = if once {
        (
            format!("{}, ", of_key(ONCE_USED)),
            " AND NOT EXISTS (SELECT FROM used)",
            format!(", {}", of_key(ONCE_TAKEN)),
        )
    } else {
        (String::new(), "", String::new())
    };
    format!(
        "WITH {used}moved AS (UPDATE {{s}}.tasks t SET state = $4::text, state_timestamp = $5::timestamptz, \
         history = CASE WHEN $6::jsonb IS NULL THEN t.history WHEN $7::bool THEN $6::jsonb ELSE t.history || $6::jsonb END, \
         artifacts = CASE WHEN $8::jsonb IS NULL THEN t.artifacts WHEN $7::bool THEN $8::jsonb \
         ELSE coalesce(t.artifacts, '[]') || $8::jsonb END, \
         metadata = coalesce($9::jsonb, t.metadata), status_message = $10::jsonb, updated_at = {{at}}, \
         logged_at = {{at}}, version = t.version + $12::bigint, last_write = {{write}}, \
         lease_owner = CASE WHEN $14::text IS NOT NULL THEN $14::text WHEN $16::bool THEN t.lease_owner END, \
         lease_until = CASE WHEN $14::text IS NOT NULL THEN $15::timestamptz WHEN $16::bool THEN t.lease_until END, \
         attempt = CASE WHEN $14::text IS NOT NULL THEN coalesce(t.attempt, 0) + 1 ELSE t.attempt END, \
         deliveries = greatest(t.deliveries, $17::bigint) \
         WHERE t.id = $1::uuid AND t.wire_id IS NOT DISTINCT FROM $2::text AND t.version = $3::bigint \
         AND t.context_id = $23::uuid AND t.logged_at = t.updated_at \
         AND ($13::text IS NULL OR t.lease_owner = $13::text) \
         AND ($14::text IS NULL OR t.lease_owner IS NULL OR t.lease_owner = $14::text OR t.lease_until IS NULL \
         OR t.lease_until <= {{at}}){free} \
         RETURNING t.id, t.context_id, t.owner_did, t.version, t.created_at, t.dialect, t.lease_owner, \
         t.lease_until, t.attempt, t.deliveries, t.has_webhooks), \
         {EVENTS}, {OUTBOX}{taken} \
         SELECT t.owner_did::text, t.dialect, t.lease_owner, t.lease_until, t.attempt, t.deliveries, \
         t.created_at, (SELECT array_agg(id ORDER BY id) FROM queued), {{hooks}} FROM moved t"
    )
    .replace("{from}", "moved")
    .replace("{at}", "$11::timestamptz")
    .replace("{write}", "$18::uuid")
    .replace("{events}", "$19::jsonb[]")
    .replace("{kinds}", "$20::text[]")
    .replace("{payloads}", "$21::jsonb[]")
    .replace("{versions}", "$22::bigint[]")
}
