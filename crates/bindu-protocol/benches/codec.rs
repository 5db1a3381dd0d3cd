//! What a request costs before and after its handler: reading a message, writing a task.

use bindu_protocol::{
    Artifact, Dialect, DialectPolicy, Marks, Message, Part, Request, RequestId, Response, Role,
    SendParams, Task, TaskState, TaskStatus, Timestamp,
};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const DIALECTS: [Dialect; 2] = [Dialect::Reference, Dialect::V0_3];

fn message() -> Message {
    let mut message = Message::new(Role::User, vec![Part::text("What is the weather in Oslo?")]);
    message.context_id = "0b0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1".parse().ok();
    message.task_id = "1c0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1".parse().ok();
    message
}

fn request(dialect: Dialect) -> Vec<u8> {
    let params = SendParams {
        message: message(),
        configuration: bindu_protocol::SendConfiguration {
            accepted_output_modes: vec!["text/plain".into()],
            ..Default::default()
        },
        metadata: None,
    };
    let call = bindu_protocol::Call {
        id: &RequestId::random(),
        method: "message/send",
        params: dialect.view(&params),
    };
    serde_json::to_vec(&call).expect("params are JSON")
}

fn finished_task() -> Task {
    let mut answer = Message::new(Role::Agent, vec![Part::text("Rain, 4 degrees.")]);
    answer.context_id = message().context_id;
    Task {
        id: "1c0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1".parse().expect("an id"),
        context_id: "0b0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1".parse().expect("an id"),
        status: TaskStatus::new(TaskState::Completed, Timestamp::from_unix_micros(0)),
        history: vec![message().into(), answer.into()],
        artifacts: vec![Artifact::new("result", vec![Part::text("Rain, 4 degrees.")]).into()],
        metadata: None,
    }
}

#[divan::bench(args = DIALECTS)]
fn decode_message_send(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let body = request(dialect);
    bencher.counter(divan::counter::BytesCount::new(body.len())).bench(|| {
        let request = Request::parse(black_box(&body)).expect("a request");
        let marks = Marks::of(DialectPolicy::Auto, &request.method, request.params);
        let params: SendParams = serde_json::from_str(request.params).expect("parameters");
        (marks, params, request.id)
    });
}

#[divan::bench(args = DIALECTS)]
fn encode_finished_task(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let (id, task) = (RequestId::random(), finished_task());
    let mut buffer = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        buffer.clear();
        let response = Response { id: &id, outcome: Ok(dialect.view(black_box(&task))) };
        serde_json::to_writer(&mut buffer, &response).expect("a task is JSON");
        buffer.len()
    });
}

#[divan::bench(args = DIALECTS)]
fn decode_task(bencher: Bencher<'_, '_>, dialect: Dialect) {
    let text = serde_json::to_string(&dialect.view(&finished_task())).expect("a task is JSON");
    bencher.bench(|| serde_json::from_str::<Task>(black_box(&text)).expect("a task"));
}
