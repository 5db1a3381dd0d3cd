//! The table of attacks in `docs/security.md`.

use std::path::Path;

use crate::caller::Result;

#[test]
fn every_row_names_tests_that_are_there() -> Result {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/security.md"))?;
    let (_, table) = page.split_once("| attack | tests |").ok_or("the table is there")?;
    let mut rows = 0;
    for row in table.lines().filter(|row| row.starts_with("| ") && !row.starts_with("| **")) {
        let (_, tests) = row.trim_end_matches(" |").rsplit_once(" | ").ok_or("two columns")?;
        for test in tests.split("<br>") {
            let named = test.trim_matches('`').split_once("::");
            let (file, name) = named.ok_or_else(|| format!("no test: {row}"))?;
            let source = std::fs::read_to_string(root.join(file))
                .map_err(|error| format!("{file}: {error}"))?;
            assert!(source.contains(&format!("fn {name}(")), "{file} has no {name}");
        }
        rows += 1;
    }
    assert!(rows > 40, "{rows} rows");
    Ok(())
}
