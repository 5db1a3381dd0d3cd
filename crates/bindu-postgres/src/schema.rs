//! The schema that an agent's tables are in.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use uuid::Uuid;

/// The longest name that the server keeps whole, in bytes.
const MAX_NAME: usize = 63;

/// The name of the schema of an agent's tables, the one that the Python reference uses.
///
/// Two DIDs may share a name: case and punctuation are lost. So the store keeps the DID itself in
/// the schema, and refuses any other.
///
/// ```
/// # use bindu_postgres::schema_name;
/// assert_eq!(schema_name("did:key:z6MkHaXU"), "did_key_z6mkhaxu");
/// ```
#[must_use]
pub fn schema_name(did: &str) -> String {
    let mut name: String = did
        .to_lowercase()
        .chars()
        .map(|c| if matches!(c, 'a'..='z' | '0'..='9' | '_') { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "schema_");
    }
    if name.len() > MAX_NAME {
        let hash = digest(&SHA256, name.as_bytes());
        name.truncate(54);
        name.push('_');
        for byte in &hash.as_ref()[..4] {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

/// A name as SQL writes it, whatever it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The channel on which the processes of one schema tell each other of changes.
pub(crate) fn channel(schema: &str) -> String {
    format!("bindu_{}", Uuid::new_v5(&crate::ids::NAMESPACE, schema.as_bytes()).simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_reference() {
        for (did, name) in [
            ("did:bindu:alice:agent1:abc123", "did_bindu_alice_agent1_abc123"),
            ("did:key:z6MkHaXU", "did_key_z6mkhaxu"),
            (
                "did:bindu:spec_at_example_com:exp-agent:cb505a5f-756c-1ec0-bb69-72840fccdb08",
                "did_bindu_spec_at_example_com_exp_agent_cb505a5f_756c__ab0c1365",
            ),
            ("9lives:x", "schema_9lives_x"),
            ("did:é:x", "did___x"),
        ] {
            assert_eq!(schema_name(did), name);
        }
    }

    #[test]
    fn a_quoted_name_cannot_end_early() {
        assert_eq!(quoted(r#"a"; DROP"#), r#""a""; DROP""#);
    }
}
