//! Error codes of JSON-RPC, A2A and Bindu.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A JSON-RPC error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every code that this crate names.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the code means, in a sentence for the caller.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self.0 {
                    $($code => $message,)*
                    _ => "The request failed",
                }
            }
        }
    };
}

codes! {
    /// The body is no JSON (JSON-RPC 2.0, section 5.1).
    PARSE = -32700, "The body is not valid JSON";
    /// JSON, but no JSON-RPC request.
    INVALID_REQUEST = -32600, "The body is not a JSON-RPC 2.0 request";
    /// No such method.
    METHOD_NOT_FOUND = -32601, "This agent has no such method";
    /// The parameters are not what the method takes.
    INVALID_PARAMS = -32602, "The parameters are not what this method takes";
    /// Our fault.
    INTERNAL = -32603, "The request failed inside the agent";
    /// No such task, or not the caller's.
    TASK_NOT_FOUND = -32001, "Task not found";
    /// The task is over.
    TASK_NOT_CANCELABLE = -32002, "The task is over and cannot be canceled";
    /// The agent sends no webhooks.
    PUSH_NOT_SUPPORTED = -32003, "This agent sends no push notifications";
    /// Not possible here, or not now.
    UNSUPPORTED_OPERATION = -32004, "This operation is not supported";
    /// The agent does not take this media type.
    CONTENT_TYPE_NOT_SUPPORTED = -32005, "This agent does not take content of this type";
    /// The handler's answer made no sense.
    INVALID_AGENT_RESPONSE = -32006, "The agent's answer is not valid";
    /// There is no extended card.
    EXTENDED_CARD_NOT_CONFIGURED = -32007, "This agent has no extended card";
    /// The task is over (the reference's code; A2A 1.0 uses the number for something else).
    TASK_IMMUTABLE = -32008, "The task is over; begin a new one that references it";
    /// The request needs a token.
    AUTHENTICATION_REQUIRED = -32009, "A bearer token is required";
    /// The token is not valid.
    INVALID_TOKEN = -32010, "The token is not valid";
    /// The token has expired.
    TOKEN_EXPIRED = -32011, "The token has expired; ask for a new one";
    /// The token's signature is wrong.
    INVALID_TOKEN_SIGNATURE = -32012, "The token's signature is not valid";
    /// The token does not allow this.
    INSUFFICIENT_PERMISSIONS = -32013, "The token does not allow this operation";
    /// No such context, or not the caller's.
    CONTEXT_NOT_FOUND = -32020, "Context not found";
    /// The context is in use.
    CONTEXT_NOT_CANCELABLE = -32021, "The context has tasks under way; cancel them first";
    /// No such skill.
    SKILL_NOT_FOUND = -32030, "Skill not found";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
