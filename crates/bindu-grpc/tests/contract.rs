//! The contract is the one that SDKs out there were made for.

use std::fs;

use bindu_grpc::proto;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Map, Value, json};

pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/../../fixtures/grpc/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap()
}

fn field(field: &FieldDescriptor) -> Value {
    let scalar = |kind: Kind| match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(one) => one.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let [key, value] = ["key", "value"].map(|name| entry.get_field_by_name(name).unwrap());
            format!("map<{},{}>", scalar(key.kind()), scalar(value.kind()))
        }
        kind => scalar(kind),
    };
    json!({
        "name": field.name(),
        "number": field.number(),
        "type": kind,
        "repeated": field.is_list(),
    })
}

#[test]
fn names_numbers_types_and_paths_are_the_recorded_ones() {
    let pool = pool();
    let file = pool.files().next().unwrap();
    let mut services = Map::new();
    for service in pool.services() {
        let methods = service.methods().map(|method| {
            json!({
                "rpc": method.name(),
                "path": format!("/{}/{}", service.full_name(), method.name()),
                "request": method.input().full_name(),
                "response": method.output().full_name(),
                "client_streaming": method.is_client_streaming(),
                "server_streaming": method.is_server_streaming(),
            })
        });
        services.insert(service.full_name().to_owned(), methods.collect());
    }
    let mut messages = Map::new();
    for message in pool.all_messages().filter(|message| !message.is_map_entry()) {
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let fields = fields.iter().map(|one| {
            assert!(one.containing_oneof().is_none(), "{} is optional or in a oneof", one.name());
            field(one)
        });
        messages.insert(message.full_name().to_owned(), fields.collect());
    }
    let ours = json!({
        "syntax": "proto3",
        "package": file.package_name(),
        "file": file.name(),
        "services": services,
        "messages": messages,
    });
    assert_eq!(ours, fixture("contract"));
    assert_eq!(file.file_descriptor_proto().syntax(), "proto3");
    assert_eq!(pool.all_enums().len(), 0);
    assert_eq!(pool.files().len(), 1);
}

/// The JSON of recorded bytes, all fields with it, once they went through the generated code.
fn through(kind: &MessageDescriptor, bytes: &[u8]) -> Value {
    fn again<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
        M::decode(bytes).unwrap().encode_to_vec()
    }
    let bytes = match kind.name() {
        "RegisterAgentRequest" => again::<proto::RegisterAgentRequest>(bytes),
        "RegisterAgentResponse" => again::<proto::RegisterAgentResponse>(bytes),
        "HeartbeatRequest" => again::<proto::HeartbeatRequest>(bytes),
        "HeartbeatResponse" => again::<proto::HeartbeatResponse>(bytes),
        "UnregisterAgentRequest" => again::<proto::UnregisterAgentRequest>(bytes),
        "UnregisterAgentResponse" => again::<proto::UnregisterAgentResponse>(bytes),
        "HandleRequest" => again::<proto::HandleRequest>(bytes),
        "HandleResponse" => again::<proto::HandleResponse>(bytes),
        other => panic!("nothing of the kind {other} was recorded"),
    };
    let message = DynamicMessage::decode(kind.clone(), &*bytes).unwrap();
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

fn kind(name: &str) -> MessageDescriptor {
    pool().get_message_by_name(&format!("bindu.grpc.{name}")).unwrap()
}

#[test]
fn what_the_typescript_sdk_sent_and_got_is_read_as_recorded() {
    let pool = pool();
    let session = fixture("ts_sdk_session");
    let mut checked = 0;
    let calls = session["calls"].as_array().unwrap();
    let heartbeats = session["heartbeat"].as_array().map_or(&[][..], Vec::as_slice);
    for call in calls.iter().chain(heartbeats) {
        let path = call["method"].as_str().unwrap();
        let (service, method) = path[1..].split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|one| one.name() == method).unwrap();
        for (name, kind) in [("request", method.input()), ("response", method.output())] {
            if let Some(hex) = call[format!("{name}_hex")].as_str() {
                assert_eq!(through(&kind, &unhex(hex)), call[name], "{path} {name}");
                checked += 1;
            }
        }
        if let Some(hex) = call["request_hex_without_system_message"].as_str() {
            let mut expected = call["request"].clone();
            expected["messages"].as_array_mut().unwrap().remove(0);
            assert_eq!(through(&method.input(), &unhex(hex)), expected, "{path}");
            checked += 1;
        }
    }
    assert!(checked > calls.len(), "only {checked} messages were recorded");
}

#[test]
fn heartbeats_and_farewells_are_read_as_recorded() {
    for case in fixture("lifecycle")["cases"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let is_heartbeat = name.starts_with("heartbeat");
        let kind = kind(if is_heartbeat { "HeartbeatRequest" } else { "UnregisterAgentRequest" });
        let bytes = unhex(case["request_hex"].as_str().unwrap());
        assert_eq!(through(&kind, &bytes), case["request"], "{name}");
    }
}

#[test]
fn answers_are_read_as_recorded() {
    for case in fixture("handle_response")["cases"].as_array().unwrap() {
        let bytes = unhex(case["response_hex"].as_str().unwrap());
        assert_eq!(through(&kind("HandleResponse"), &bytes), case["response"], "{}", case["case"]);
    }
}
