//! Who calls, and to whom a task belongs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who sent a request, as far as it is known.
///
/// An agent that asks nobody to sign in has only anonymous callers. A known caller is named by the
/// `client_id` of its token, which for agents is a DID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Caller {
    /// The caller's name; `None` for an anonymous one.
    pub name: Option<Box<str>>,
    /// What the caller's token allows, such as `agent:write`.
    pub scopes: Vec<Box<str>>,
}

impl Caller {
    /// A caller about whom nothing is known.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// A caller known by name, with no scopes yet.
    #[must_use]
    pub fn named(name: impl Into<Box<str>>) -> Self {
        Self { name: Some(name.into()), scopes: Vec::new() }
    }

    /// What the caller makes belongs to this owner.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner(self.name.clone())
    }

    /// Whether the caller may see what belongs to `owner`: plain equality, where anonymous
    /// callers share what anonymous callers made.
    ///
    /// ```
    /// # use bindu_protocol::{Caller, Owner};
    /// let alice = Caller::named("did:bindu:alice:a:1");
    /// assert!(alice.may_see(&alice.owner()));
    /// assert!(!alice.may_see(&Owner::nobody()));
    /// assert!(Caller::anonymous().may_see(&Owner::nobody()));
    /// ```
    #[must_use]
    pub fn may_see(&self, owner: &Owner) -> bool {
        self.name == owner.0
    }
}

/// To whom a task or context belongs; set at its creation and never changed, and never on the
/// wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(Option<Box<str>>);

impl Owner {
    /// What anonymous callers make belongs to nobody in particular.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(None)
    }

    /// The owner's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<Option<String>> for Owner {
    fn from(name: Option<String>) -> Self {
        Self(name.map(Into::into))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name().unwrap_or("nobody"))
    }
}
