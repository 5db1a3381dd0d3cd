//! Why a skill could not be read.

use std::io;
use std::path::PathBuf;

use super::MAX_FILE_BYTES;

/// Why a skill could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SkillError {
    /// There is no such directory.
    #[error("skill directory not found: {}", dir.display())]
    DirectoryNotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory has neither `skill.yaml` nor `SKILL.md`.
    #[error("no skill definition found in {}", dir.display())]
    NoDefinition {
        /// The directory.
        dir: PathBuf,
    },
    /// A file could not be read, or is not UTF-8.
    #[error("reading skill file {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file was read, but what it says is wrong.
    #[error("{}: {problem}", file.display())]
    InFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: Box<SkillError>,
    },
    /// The description is longer than [`MAX_FILE_BYTES`].
    #[error("a skill description has at most {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// A `SKILL.md` does not begin with a line `---`.
    #[error("front matter is missing: the first line is not ---")]
    NoFrontMatter,
    /// The front matter of a `SKILL.md` has no end.
    #[error("front matter is not closed by a line ---")]
    UnclosedFrontMatter,
    /// The text is not YAML, or expands beyond all measure.
    #[error("not valid YAML: {message}")]
    Yaml {
        /// What is wrong, and where.
        message: String,
    },
    /// The description is no mapping.
    #[error("expected a mapping, found {found}")]
    NotAMapping {
        /// What it is: "a list".
        found: &'static str,
    },
    /// A member that every skill has is not there, or empty.
    #[error("{field} is missing")]
    Missing {
        /// The member.
        field: &'static str,
    },
    /// A member has the wrong type.
    #[error("{field}: expected {expected}, found {found}")]
    Shape {
        /// The member: `assessment.keywords`.
        field: String,
        /// What belongs there: "a list of strings".
        expected: &'static str,
        /// What is there: "a mapping".
        found: String,
    },
    /// The id cannot be one segment of a path.
    #[error("skill id {id:?} holds a slash or a control character, or is only dots")]
    BadId {
        /// The id.
        id: String,
    },
    /// Two skills of one agent have the same id.
    #[error("two skills have the id {id:?}")]
    DuplicateId {
        /// The id.
        id: String,
    },
}
