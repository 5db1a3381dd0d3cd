//! Why a configuration is refused.

use std::{fmt, io, path::PathBuf};

/// Why settings or an agent's configuration are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A `.env` file has a line that is none. The line is not shown, it may hold a secret.
    #[error("{} is not a valid .env file: {place} cannot be read", path.display())]
    DotEnv {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: String,
    },
    /// The configuration is not JSON.
    #[error("the agent configuration is not valid JSON")]
    Json {
        /// Where it stops being JSON.
        source: serde_json::Error,
    },
    /// Values that cannot be; all of them.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    pub(crate) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::Invalid(problems)) }
    }

    /// What is wrong, one entry a key; empty for a file that cannot be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) => problems,
            _ => &[],
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    key: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// The key of the configuration, or the name of the variable.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What was wrong with it and what is allowed, a sentence whose subject is the key.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    if let [problem] = problems {
        return problem.to_string();
    }
    let lines: Vec<String> = problems.iter().map(|it| format!("\n- {it}")).collect();
    format!("{} problems in the configuration:{}", problems.len(), lines.concat())
}
