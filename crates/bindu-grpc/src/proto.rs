//! The contract with SDKs: messages, clients and servers, as `proto/agent_handler.proto` has them.
//!
//! `cargo xtask codegen` writes the code; the workspace's gates check that it is up to date. The
//! clients and servers are tonic's, without its transport: they run over any tower service.
//!
//! ```
//! use bindu_grpc::proto::{ChatMessage, HandleRequest};
//! use prost::Message as _;
//!
//! let request = HandleRequest {
//!     messages: vec![ChatMessage { role: "user".into(), content: "hi".into() }],
//!     ..HandleRequest::default()
//! };
//! assert_eq!(request.encode_to_vec(), b"\x0a\x0a\x0a\x04user\x12\x02hi");
//! ```

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    elided_lifetimes_in_paths,
    unused_qualifications,
    reason = "generators write for compilers"
)]
mod generated;

pub use generated::*;

/// The contract as descriptors, for server reflection: an encoded
/// `google.protobuf.FileDescriptorSet` with the one file `agent_handler.proto`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("proto/descriptor.bin");
