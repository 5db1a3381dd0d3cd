//! The agent: its messages say what it does.

use std::sync::Arc;
use std::time::Duration;

use bindu_agent::{AnyHandler, Chunk, HandlerError, Reply, Turn};
use bindu_protocol::TaskId;
use futures_util::stream;
use tokio::time::sleep;

use super::life::Life;
use super::world::World;

/// What a message asks of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To answer at once.
    Answer,
    /// To answer after so many milliseconds.
    Slow(u64),
    /// To ask back.
    Ask,
    /// To fail.
    Fail,
    Panic,
    /// To answer in so many pieces, with so many milliseconds between them.
    Stream(u64, u64),
    /// The same, and to ask back at its end.
    StreamAndAsk(u64, u64),
    /// Never to end.
    Never,
}

impl Wish {
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let (pieces, millis) = (rng.u64(1..6), rng.u64(0..400));
        match rng.u8(0..16) {
            0..=3 => Self::Answer,
            4 | 5 => Self::Slow(rng.u64(1..400)),
            6 | 7 => Self::Slow(rng.u64(400..15_000)),
            8 | 9 => Self::Ask,
            10 => Self::Fail,
            11 => Self::Panic,
            12 | 13 => Self::Stream(pieces, millis),
            14 => Self::StreamAndAsk(pieces, millis),
            _ => Self::Never,
        }
    }

    /// One that ends by itself.
    pub(super) fn draw_finite(rng: &mut fastrand::Rng) -> Self {
        match Self::draw(rng) {
            Self::Never => Self::Answer,
            wish => wish,
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Answer => "answer".to_owned(),
            Self::Slow(millis) => format!("slow {millis}"),
            Self::Ask => "ask".to_owned(),
            Self::Fail => "fail".to_owned(),
            Self::Panic => "panic".to_owned(),
            Self::Stream(pieces, millis) => format!("stream {pieces} {millis}"),
            Self::StreamAndAsk(pieces, millis) => format!("stream-ask {pieces} {millis}"),
            Self::Never => "never".to_owned(),
        }
    }

    fn of(text: &str) -> Self {
        let mut words = text.split(' ');
        let word = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        match word {
            "slow" => Self::Slow(number()),
            "ask" => Self::Ask,
            "fail" => Self::Fail,
            "panic" => Self::Panic,
            "stream" => Self::Stream(number(), number()),
            "stream-ask" => Self::StreamAndAsk(number(), number()),
            "never" => Self::Never,
            _ => Self::Answer,
        }
    }
}

/// The agent of one life of a replica.
pub(super) fn of(world: &Arc<World>, life: &Arc<Life>) -> AnyHandler {
    let (world, life) = (Arc::clone(world), Arc::clone(life));
    AnyHandler::new(move |turn: Turn| {
        let running = Running::begin(&world, &life, turn.task_id());
        let wish = Wish::of(&turn.text());
        answer(running, wish)
    })
}

async fn answer(running: Running, wish: Wish) -> Result<Reply, HandlerError> {
    let said = format!("by #{} {}", running.number, wish.text());
    match wish {
        Wish::Answer => Ok(Reply::text(said)),
        Wish::Slow(millis) => {
            running.sleep(millis).await;
            Ok(Reply::text(said))
        }
        Wish::Ask => Ok(Reply::input_required(said)),
        Wish::Fail => Err(said.into()),
        // Without a word on standard error.
        Wish::Panic => std::panic::resume_unwind(Box::new(said)),
        Wish::Stream(pieces, millis) => Ok(pieces_of(running, said, pieces, millis, false)),
        Wish::StreamAndAsk(pieces, millis) => Ok(pieces_of(running, said, pieces, millis, true)),
        Wish::Never => {
            std::future::pending::<()>().await;
            Ok(Reply::text(said))
        }
    }
}

fn pieces_of(running: Running, said: String, pieces: u64, millis: u64, asks: bool) -> Reply {
    Reply::stream(stream::unfold((running, 0), move |(running, piece)| {
        let said = said.clone();
        async move {
            if piece >= pieces + u64::from(asks) {
                return None;
            }
            running.sleep(millis).await;
            let chunk = if piece == pieces {
                Chunk::End(Reply::input_required(said))
            } else {
                Chunk::from(format!("[{piece} {said}] "))
            };
            Some((Ok(chunk), (running, piece + 1)))
        }
    }))
}

/// A handler that runs, until this is dropped.
struct Running {
    world: Arc<World>,
    life: Arc<Life>,
    number: usize,
}

impl Running {
    fn begin(world: &Arc<World>, life: &Arc<Life>, task: &TaskId) -> Self {
        let by = (life.replica, life.number);
        let (number, problems) = world.lock().ledger.handler_begins(task, by);
        world.note("handles", number as u64, || {
            format!("{} by #{number} at {life}", world.name(task))
        });
        for problem in problems {
            world.problem(|| format!("handler {number} begins: {problem}"));
        }
        Self { world: Arc::clone(world), life: Arc::clone(life), number }
    }

    async fn sleep(&self, millis: u64) {
        sleep(Duration::from_millis(millis)).await;
        self.life.gate().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.life.is_over() {
            return;
        }
        if let Some(handler) = self.world.lock().ledger.handlers.get_mut(self.number) {
            handler.ended = true;
        }
        self.world.note("handled", self.number as u64, || format!("by #{}", self.number));
    }
}
