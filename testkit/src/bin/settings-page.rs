//! Prints every setting as Markdown.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    io::stdout().write_all(bindu::settings::describe().as_bytes())
}
