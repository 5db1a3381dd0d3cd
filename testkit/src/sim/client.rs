//! Callers: they send, wait, follow, continue and cancel, on any replica, and repeat what failed.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{
    Caller, ContextId, Dialect, ListParams, Message, Part, PushConfig, Role, TaskId, TaskState,
};
use bindu_storage::Record;
use bindu_tasks::{Submission, Submitted, TaskError, Tasks};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::handler::Wish;
use super::stream;
use super::world::World;

/// How long a blocking send waits.
const WAIT: Duration = Duration::from_secs(5);

/// How long any call may take once nothing fails.
const CALL: Duration = Duration::from_mins(1);

/// How long a cancel may take to stop a handler on another replica that hears of it.
const STOPPING: Duration = Duration::from_millis(100);

/// Why a call brought no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody knows what became of it: the connection broke, or the caller gave up.
    Lost,
    /// The replica said so.
    Refused(TaskError),
}

/// Makes a call on any replica.
pub(super) async fn call<T, F>(
    world: &Arc<World>,
    what: &str,
    ask: impl FnOnce(Tasks) -> F,
) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, TaskError>>,
{
    let replica = world.any_replica().await;
    let began_calm = world.is_calm();
    let patience = if !began_calm && world.chance(world.plan.impatient) {
        Duration::from_millis(world.below(300))
    } else {
        CALL
    };
    let answer = tokio::select! {
        biased;
        () = replica.life.over() => return Err(Trouble::Lost),
        answer = timeout(patience, ask(replica.tasks.clone())) => answer,
    };
    if let Ok(answer) = answer {
        return answer.map_err(Trouble::Refused);
    }
    if began_calm {
        world.problem(|| format!("{what} at {} had no answer", replica.life));
    }
    Err(Trouble::Lost)
}

/// Whether a refusal says that the same may work later.
fn is_passing(error: &TaskError) -> bool {
    matches!(
        error,
        TaskError::Busy
            | TaskError::Closing
            | TaskError::Unavailable
            | TaskError::Storage(_)
            | TaskError::Scheduler(_)
    )
}

/// Whether an error leaves open whether something was stored.
fn is_ambiguous(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Lost | Trouble::Refused(TaskError::Storage(_) | TaskError::Scheduler(_))
    )
}

/// Starts the callers.
pub(super) fn start(world: &Arc<World>) -> JoinSet<()> {
    let mut talking = JoinSet::new();
    for client in 0..world.plan.clients {
        for talk in 0..world.plan.talks {
            let seed = world.lock().rng.u64(..);
            let talk = Talk {
                world: Arc::clone(world),
                rng: fastrand::Rng::with_seed(seed),
                name: format!("{client}-{talk}"),
                caller: Caller::anonymous(),
                messages: 0,
            };
            talking.spawn(talk.hold(client));
        }
    }
    talking
}

/// One task, as its caller sees it.
struct Talk {
    world: Arc<World>,
    rng: fastrand::Rng,
    name: String,
    caller: Caller,
    messages: u32,
}

/// How a message is sent.
#[derive(Clone, Debug)]
struct Sending {
    message: Message,
    push: Option<PushConfig>,
    /// Whether a repeat is recognised.
    repeats: bool,
    waits: bool,
}

impl Talk {
    async fn hold(mut self, client: usize) {
        self.caller = match client % 3 {
            0 => Caller::named("alice"),
            1 => Caller::anonymous(),
            _ => Caller::named("bob"),
        };
        let trouble = u64::try_from(self.world.plan.trouble.as_millis()).unwrap_or(0);
        let wait = self.rng.u64(0..trouble);
        sleep(Duration::from_millis(wait)).await;
        let Some(record) = self.begin(client).await else { return };
        let id = record.task.id.clone();
        if self.rng.f64() < 0.3 {
            self.strangers(&id).await;
        }
        if self.rng.f64() < 0.2 {
            self.add_webhook(&id).await;
        }
        let mut followers = JoinSet::new();
        if self.rng.bool() {
            let from_start = self.rng.bool();
            let (world, caller) = (Arc::clone(&self.world), self.caller.clone());
            followers.spawn(stream::follow(world, caller, id.clone(), from_start));
        }
        self.accompany(&id).await;
        while followers.join_next().await.is_some() {}
    }

    fn message(&mut self, wish: Wish) -> Message {
        self.messages += 1;
        let mut message = Message::new(Role::User, vec![Part::text(wish.text())]);
        message.id = format!("m-{}-{}", self.name, self.messages).parse().expect("it is short");
        message
    }

    /// The first message; `None` if nobody knows whether it arrived.
    async fn begin(&mut self, client: usize) -> Option<Arc<Record>> {
        let named = self.rng.bool();
        let repeats = named || self.caller.name.is_some();
        let wish =
            if repeats { Wish::draw(&mut self.rng) } else { Wish::draw_finite(&mut self.rng) };
        let mut message = self.message(wish);
        if named {
            message.task_id = Some(format!("task-{}", self.name).parse().expect("it is short"));
        }
        if self.rng.bool() {
            let context: ContextId = format!("context-{client}").parse().expect("it is short");
            message.context_id = Some(context);
        }
        let push = self.rng.bool().then(|| self.webhook(1));
        let waits = self.rng.f64() < 0.3;
        self.send(Sending { message, push, repeats, waits }).await
    }

    fn webhook(&self, number: u32) -> PushConfig {
        PushConfig {
            id: Some(format!("hook-{number}").parse().expect("it is short")),
            url: format!("http://10.0.0.1/{}/{number}", self.name),
            token: None,
            authentication: None,
        }
    }

    /// Sends a message until it is accepted, if a repeat is recognised.
    async fn send(&mut self, sending: Sending) -> Option<Arc<Record>> {
        let world = Arc::clone(&self.world);
        let mut maybe_stored = false;
        loop {
            let id = &sending.message.id;
            world.note("send", u64::from(self.messages), || {
                let task = sending.message.task_id.as_ref().map(|id| world.name(id));
                format!("{id} {:?} {task:?}", sending.message.text())
            });
            let sent = self.send_once(&sending).await;
            world.note("sent", u64::from(self.messages), || match &sent {
                Ok(submitted) => {
                    let (id, record) = (&submitted.record.task.id, &submitted.record);
                    let state = record.task.status.state;
                    format!(
                        "{} is {} v{} {state}",
                        sending.message.id,
                        world.name(id),
                        record.version
                    )
                }
                Err(trouble) => format!("{id} {trouble:?}"),
            });
            match sent {
                Ok(submitted) => {
                    world.told(&submitted.record);
                    let is_in = world.lock().ledger.messages.contains_key(id);
                    if !is_in {
                        world.problem(|| format!("message {id} was accepted, and not stored"));
                    }
                    if self.rng.f64() < 0.1 && sending.repeats {
                        self.misuse(&sending).await;
                    }
                    return Some(submitted.record);
                }
                Err(Trouble::Refused(error)) if !is_passing(&error) => {
                    let asked = sending.message.task_id.as_ref();
                    let canceled = asked.is_some_and(|id| {
                        world.lock().ledger.model(id).is_some_and(|task| task.state().is_terminal())
                    });
                    if !(canceled && matches!(error, TaskError::Over(_))) {
                        world.problem(|| format!("message {id} was refused: {error}"));
                    }
                    return None;
                }
                Err(trouble) if is_ambiguous(&trouble) => {
                    maybe_stored = true;
                    if !sending.repeats {
                        return None;
                    }
                }
                Err(_) => {
                    if !maybe_stored && world.lock().ledger.messages.contains_key(id) {
                        world.problem(|| format!("message {id} was refused, and stored"));
                    }
                }
            }
            world.rest(10, 1_500).await;
        }
    }

    async fn send_once(&mut self, sending: &Sending) -> Result<Submitted, Trouble> {
        let submission = Submission {
            push: sending.push.clone(),
            dialect: Dialect::Reference,
            may_name_task: true,
            ..Submission::new(sending.message.clone())
        };
        let (caller, waits) = (self.caller.clone(), sending.waits);
        call(&self.world, "a send", |tasks| async move {
            if waits {
                tasks.submit_and_wait(&caller, submission, WAIT).await
            } else {
                tasks.submit(&caller, submission).await
            }
        })
        .await
    }

    /// The same message id with another text is refused.
    async fn misuse(&mut self, sending: &Sending) {
        let mut other = sending.clone();
        other.message.parts = vec![Part::text("answer something else")];
        other.waits = false;
        match self.send_once(&other).await {
            Err(Trouble::Refused(TaskError::Invalid(_)) | Trouble::Lost) => {}
            Err(Trouble::Refused(error)) if is_passing(&error) => {}
            other => {
                let id = &sending.message.id;
                self.world.problem(|| format!("another message {id} was not refused: {other:?}"));
            }
        }
    }

    /// Whom a task does not belong to sees nothing of it.
    async fn strangers(&self, id: &TaskId) {
        let strangers = [Caller::anonymous(), Caller::named("alice"), Caller::named("bob")];
        for stranger in strangers.into_iter().filter(|other| *other != self.caller) {
            let got =
                call(&self.world, "a get", async |tasks| tasks.get(&stranger, id).await).await;
            let canceled =
                call(&self.world, "a cancel", async |tasks| tasks.cancel(&stranger, id).await)
                    .await;
            let list = ListParams::default();
            let listed =
                call(&self.world, "a list", async |tasks| tasks.list(&stranger, &list).await).await;
            let sees = [got.as_ref().err(), canceled.as_ref().err()].into_iter().any(|error| {
                !matches!(error, Some(Trouble::Lost))
                    && !matches!(error, Some(Trouble::Refused(error))
                        if is_passing(error) || matches!(error, TaskError::NotFound))
            });
            let lists = listed.is_ok_and(|page| {
                page.items
                    .iter()
                    .any(|record| record.task.id == *id || !stranger.may_see(&record.owner))
            });
            if sees || lists {
                self.world.problem(|| {
                    format!(
                        "{} was shown to {stranger:?}: {got:?} {canceled:?}",
                        self.world.name(id)
                    )
                });
            }
        }
    }

    async fn add_webhook(&mut self, id: &TaskId) {
        let config = self.webhook(2);
        let set = call(&self.world, "a webhook", async |tasks| {
            tasks.set_webhook(&self.caller, id, config.clone(), Dialect::Reference).await
        })
        .await;
        if set.is_ok() {
            self.world.note("hooked", 0, || self.world.name(id));
            let now = self.world.now();
            let mut state = self.world.lock();
            if let Some(label) = state.ledger.label(id) {
                state.ledger.tasks[label].webhooks.insert(config.url, now);
            }
        }
    }

    /// Looks after a task until it is over, or left alone.
    async fn accompany(&mut self, id: &TaskId) {
        let cancel_at = (self.rng.f64() < self.world.plan.canceled)
            .then(|| Instant::now() + Duration::from_millis(self.rng.u64(0..4_000)));
        // What never ends by itself, its caller ends.
        let never_at = Instant::now() + Duration::from_millis(self.rng.u64(1_000..20_000));
        let mut told = 0;
        loop {
            let got =
                call(&self.world, "a get", async |tasks| tasks.get(&self.caller, id).await).await;
            match got {
                Ok(record) => {
                    self.world.told(&record);
                    if record.version.0 < told {
                        let name = self.world.name(id);
                        self.world.problem(|| format!("{name}: what was told was taken back"));
                    }
                    told = record.version.0;
                    let state = record.task.status.state;
                    if state.is_terminal() {
                        return;
                    }
                    if state.is_settled() && !self.go_on(&record).await {
                        return;
                    }
                    let text = record.task.history.last().map(|last| last.text());
                    let is_endless = text.as_deref() == Some("never");
                    let due = cancel_at.is_some_and(|at| at <= Instant::now())
                        || (is_endless && never_at <= Instant::now());
                    if due && self.cancel(id).await {
                        return;
                    }
                }
                Err(Trouble::Refused(TaskError::NotFound)) => {
                    self.world.problem(|| format!("{} is gone", self.world.name(id)));
                    return;
                }
                Err(_) => {}
            }
            self.world.rest(20, 1_500).await;
        }
    }

    /// Answers a task that asks; or leaves it.
    async fn go_on(&mut self, record: &Record) -> bool {
        if self.rng.f64() < 0.2 || self.messages > 4 {
            return false;
        }
        let wish = Wish::draw(&mut self.rng);
        let mut message = self.message(wish);
        message.task_id = Some(record.task.id.clone());
        let waits = self.rng.f64() < 0.3;
        self.send(Sending { message, push: None, repeats: true, waits }).await;
        true
    }

    /// Cancels a task; says whether it was.
    async fn cancel(&self, id: &TaskId) -> bool {
        {
            let mut state = self.world.lock();
            if let Some(label) = state.ledger.label(id) {
                state.ledger.tasks[label].cancel_asked = true;
            }
        }
        self.world.note("cancel", self.world.number(id), || self.world.name(id));
        let canceled =
            call(&self.world, "a cancel", async |tasks| tasks.cancel(&self.caller, id).await).await;
        match canceled {
            Ok(record) => {
                self.world.told(&record);
                if record.task.status.state != TaskState::Canceled {
                    let name = self.world.name(id);
                    self.world.problem(|| format!("{name}: canceled, and is not"));
                }
                if self.world.plan.hears_at_once() {
                    self.stops(id).await;
                }
                true
            }
            Err(Trouble::Refused(TaskError::NotCancelable(state))) if state.is_terminal() => true,
            Err(Trouble::Refused(error)) if !is_passing(&error) => {
                self.world.problem(|| format!("{}: cancel {error}", self.world.name(id)));
                true
            }
            Err(_) => false,
        }
    }

    /// The handlers of a canceled task are stopped in no time.
    async fn stops(&self, id: &TaskId) {
        sleep(STOPPING).await;
        let world = &self.world;
        let label = world.lock().ledger.label(id);
        let left = world
            .lock()
            .ledger
            .handlers
            .iter()
            .position(|handler| Some(handler.task) == label && !handler.ended);
        if let Some(number) = left {
            world.problem(|| format!("{}: handler {number} outlives a cancel", world.name(id)));
        }
    }
}
