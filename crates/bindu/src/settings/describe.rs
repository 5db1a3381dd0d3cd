//! The settings as a document.

use super::{Settings, Variable, names};

/// All settings as Markdown: a table a section, from the same data that reads them.
///
/// ```
/// let page = bindu::settings::describe();
/// assert!(page.contains("| `WORKER__CONCURRENCY` |"));
/// ```
#[must_use]
pub fn describe() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         Every setting is a variable of the environment, or a line of a `.env` file in the \
         working directory or beside the agent's configuration file. The environment wins over \
         `.env`. Of several names of one setting the first counts. Names may be written in any \
         case. Times are seconds, or have a unit: `500ms`, `30s`, `5m`, `24h`. Yes and no are \
         `true` and `false`; `1`, `yes`, `on`, `0`, `no`, `off` are understood as well, but for \
         names without `__`, where `true`, `1` and `yes` mean yes and everything else no. Lists \
         and maps are JSON. A value that cannot be read stops the start and is named.\n\n\
         What the agent's configuration says wins over a setting, `BINDU_DEPLOYMENT_URL`, \
         `BINDU_HOST` and `BINDU_PORT` excepted.\n",
    );
    for (title, variables) in Settings::SECTIONS {
        page.push_str(&format_section(title, variables));
    }
    page.push_str("\n## Fixed by the protocol\n\nThese are read, and reported if they differ.\n\n");
    page.push_str("| Variable | Value |\n|---|---|\n");
    page.extend(names::FIXED.iter().map(|(name, value)| {
        format!(
            "| `{name}` | `{value}` |
"
        )
    }));
    page.push_str(
        "\n## Without effect\n\nTaken in silence, so that an environment made for the Python \
         implementation starts: `LOGGING__THEME_*`",
    );
    page.extend(names::WITHOUT_EFFECT.iter().map(|name| format!(", `{name}`")));
    page.push_str(".\n");
    page
}

fn format_section(title: &str, variables: &[Variable]) -> String {
    let mut table = format!("\n## {title}\n\n| Variable | Default | Meaning |\n|---|---|---|\n");
    table.extend(variables.iter().map(format_row));
    table
}

fn format_row(variable: &Variable) -> String {
    let names: Vec<String> = variable.names.iter().map(|name| format!("`{name}`")).collect();
    let mut meaning: Vec<String> =
        variable.meaning.iter().map(|line| line.trim().to_owned()).collect();
    meaning.push(format!("Value: {}.", variable.allowed));
    if let [_, aliases @ ..] = names.as_slice()
        && !aliases.is_empty()
    {
        meaning.push(format!("Also: {}.", aliases.join(", ")));
    }
    let default = match variable.default {
        "" => "none".to_owned(),
        text => format!("`{text}`"),
    };
    let name = names.first().map_or("", String::as_str);
    format!("| {name} | {} | {} |\n", escape(&default), escape(&meaning.join(" ")))
}

fn escape(cell: &str) -> String {
    cell.replace('|', "\\|")
}
