//! The JSON-RPC methods.

use std::sync::PoisonError;

use bindu_protocol::{
    ContextParams, Dialect, FeedbackParams, Json, ListParams, PushParams, PushSetParams,
    SendParams, TaskParams, method,
};
use bindu_tasks::{Follow, Submission, TaskError};
use jsonrpsee::core::server::Methods;
use serde::Serialize;

use crate::bid;
use crate::error_response::Failure;
use crate::payment::{self, Step};
use crate::rpc::{Answer, Call, register};
use crate::stream;

/// The table of methods.
pub(crate) fn table() -> Methods {
    let mut methods = Methods::new();
    register(&mut methods, method::MESSAGE_SEND, send);
    register(&mut methods, method::MESSAGE_STREAM, send_streaming);
    register(&mut methods, method::TASKS_GET, get);
    register(&mut methods, method::TASKS_LIST, list);
    register(&mut methods, method::TASKS_CANCEL, cancel);
    register(&mut methods, method::TASKS_FEEDBACK, feedback);
    register(&mut methods, method::TASKS_RESUBSCRIBE, resubscribe);
    register(&mut methods, method::CONTEXTS_LIST, contexts);
    register(&mut methods, method::CONTEXTS_CLEAR, clear);
    register(&mut methods, method::PUSH_SET, push_set);
    register(&mut methods, method::PUSH_GET, push_get);
    register(&mut methods, method::PUSH_LIST, push_list);
    register(&mut methods, method::PUSH_DELETE, push_delete);
    register(&mut methods, method::EXTENDED_CARD, extended_card);
    methods
}

/// Tells an engine's error in a dialect.
fn told(dialect: Dialect) -> impl Fn(TaskError) -> (Failure, Dialect) {
    move |error| (Failure::task(&error, dialect), dialect)
}

/// Reads a message, chooses the dialect that depends on its task, and says what is to be done.
async fn submission(
    call: &Call,
) -> Result<(Submission, Option<bool>, Option<i64>, Dialect), (Failure, Dialect)> {
    let params: SendParams = call.params()?;
    let task = params.message.task_id.as_ref();
    let dialect = call.dialect_of(task, Dialect::Reference).await;
    let configuration = params.configuration;
    let submission = Submission {
        push: configuration.push,
        dialect,
        // In A2A only the server makes tasks; in the reference's dialect the caller names them.
        may_name_task: dialect == Dialect::Reference,
        trace: call.trace(),
        ..Submission::new(params.message)
    };
    Ok((submission, configuration.blocking, configuration.history_length, dialect))
}

async fn send(call: Call) -> Answer {
    let (submission, blocking, history, dialect) = submission(&call).await?;
    let tasks = &call.server().tasks;
    let record = match bid::step(&call, submission, dialect).await? {
        Step::Submit(submission, paid) => {
            // The reference answers at once unless it is asked to wait; A2A's clients expect the
            // wait.
            let submitted = if blocking.unwrap_or(dialect == Dialect::V0_3) {
                let patience = call.server().config.blocking_timeout;
                tasks.submit_and_wait(call.caller(), *submission, patience).await
            } else {
                tasks.submit(call.caller(), *submission).await
            };
            payment::conclude(paid, &submitted, |submitted| submitted.repeated).await;
            submitted.map_err(told(dialect))?.record
        }
        Step::Show(record) => record,
        Step::Answer(response) => return Ok(response),
    };
    // historyLength trims what A2A answers with; the reference carries it and does nothing.
    let history = history.filter(|_| dialect == Dialect::V0_3);
    let mut response = call.result(&dialect.view(&*record.task).with_history(history))?;
    if let Some(gate) = &call.server().payments {
        gate.dress(&record.task, response.headers_mut());
    }
    Ok(response)
}

async fn send_streaming(call: Call) -> Answer {
    let (submission, _, _, dialect) = submission(&call).await?;
    if dialect == Dialect::V0_3 && !call.server().streaming {
        return Err((Failure::streaming(), dialect));
    }
    let tasks = &call.server().tasks;
    let follow = match bid::step(&call, submission, dialect).await? {
        Step::Submit(submission, paid) => {
            let follow = tasks.submit_and_follow(call.caller(), *submission).await;
            payment::conclude(paid, &follow, Follow::is_repeat).await;
            follow.map_err(told(dialect))?
        }
        Step::Show(record) => {
            let follow = tasks.follow(call.caller(), &record.task.id, None).await;
            follow.map_err(told(dialect))?
        }
        Step::Answer(response) => return Ok(response),
    };
    Ok(stream::begun(&call, follow, dialect))
}

async fn resubscribe(call: Call) -> Answer {
    let params: TaskParams = call.params()?;
    let dialect = call.dialect();
    if dialect == Dialect::V0_3 && !call.server().streaming {
        return Err((Failure::streaming(), dialect));
    }
    let after = call.last_event_id();
    let follow = call.server().tasks.follow(call.caller(), &params.id, after).await;
    let follow = follow.map_err(told(dialect))?;
    Ok(if after.is_some() {
        stream::resumed(&call, follow, dialect)
    } else {
        stream::begun(&call, follow, dialect)
    })
}

async fn get(call: Call) -> Answer {
    let params: TaskParams = call.params()?;
    let dialect = call.dialect();
    let task = call.server().tasks.get(call.caller(), &params.id).await.map_err(told(dialect))?;
    call.result(&dialect.view(&*task.task).with_history(params.history_length))
}

async fn list(call: Call) -> Answer {
    let params: ListParams = call.params()?;
    let dialect = call.dialect();
    let page = call.server().tasks.list(call.caller(), &params).await.map_err(told(dialect))?;
    let tasks: Vec<_> = page.items.iter().map(|record| record.task.clone()).collect();
    call.result(&dialect.view(tasks.as_slice()).with_history(params.history_length))
}

async fn cancel(call: Call) -> Answer {
    let params: TaskParams = call.params()?;
    let dialect = call.dialect();
    let task =
        call.server().tasks.cancel(call.caller(), &params.id).await.map_err(told(dialect))?;
    call.result(&dialect.view(&*task.task))
}

#[derive(Serialize)]
struct FeedbackResult {
    message: &'static str,
    task_id: bindu_protocol::TaskId,
}

async fn feedback(call: Call) -> Answer {
    let params: FeedbackParams = call.params()?;
    let task_id = params.id.clone();
    let tasks = &call.server().tasks;
    tasks.add_feedback(call.caller(), params).await.map_err(told(call.dialect()))?;
    call.result(&FeedbackResult { message: "Feedback submitted successfully", task_id })
}

async fn contexts(call: Call) -> Answer {
    let params: ListParams = call.params()?;
    let page = call.server().tasks.contexts(call.caller(), &params).await;
    call.result(&page.map_err(told(call.dialect()))?.items)
}

#[derive(Serialize)]
struct ClearResult {
    message: String,
}

async fn clear(call: Call) -> Answer {
    let params: ContextParams = call.params()?;
    let tasks = &call.server().tasks;
    tasks.clear_context(call.caller(), &params.id).await.map_err(told(call.dialect()))?;
    let message = format!("Context {} and all associated tasks cleared successfully", params.id);
    call.result(&ClearResult { message })
}

async fn push_set(call: Call) -> Answer {
    let params: PushSetParams = call.params()?;
    let dialect = call.dialect();
    let tasks = &call.server().tasks;
    let set = tasks.set_webhook(call.caller(), &params.task_id, params.config, dialect).await;
    call.result(&dialect.view(&set.map_err(told(dialect))?))
}

async fn push_get(call: Call) -> Answer {
    let params: PushParams = call.params()?;
    let dialect = call.dialect();
    let tasks = &call.server().tasks;
    let found = tasks.webhook(call.caller(), &params.task_id, params.config_id.as_ref()).await;
    call.result(&dialect.view(&found.map_err(told(dialect))?))
}

async fn push_list(call: Call) -> Answer {
    let params: PushParams = call.params()?;
    let dialect = call.dialect_of(Some(&params.task_id), Dialect::V0_3).await;
    let tasks = &call.server().tasks;
    let found = tasks.webhooks(call.caller(), &params.task_id).await.map_err(told(dialect))?;
    if dialect == Dialect::V0_3 {
        return call.result(&dialect.view(found.as_slice()));
    }
    // The reference has one configuration for each task, and answers with it.
    match found.last() {
        Some(newest) => call.result(&dialect.view(newest)),
        None => Err(told(dialect)(TaskError::WebhookNotFound)),
    }
}

async fn push_delete(call: Call) -> Answer {
    let params: PushParams = call.params()?;
    let dialect = call.dialect_of(Some(&params.task_id), Dialect::V0_3).await;
    let Some(config) = params.config_id else {
        return Err((Failure::params("pushNotificationConfigId: is required"), dialect));
    };
    let tasks = &call.server().tasks;
    let removed = tasks.remove_webhook(call.caller(), &params.task_id, &config).await;
    let removed = removed.map_err(told(dialect))?;
    match dialect {
        Dialect::V0_3 => call.result(&()),
        _ => call.result(&dialect.view(&removed)),
    }
}

async fn extended_card(call: Call) -> Answer {
    let server = call.server();
    if !server.is_locked {
        return Err((Failure::extended_card(), call.dialect()));
    }
    let card = server.card.read().unwrap_or_else(PoisonError::into_inner).json.clone();
    match serde_json::from_slice::<Json>(&card) {
        Ok(card) => call.result(&card),
        Err(error) => Err((Failure::internal(&error), call.dialect())),
    }
}
