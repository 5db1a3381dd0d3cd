//! Reading skills from text and from directories.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::{Documentation, DocumentationFormat, Skill, SkillError};

/// How long a skill's description may be, in bytes: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// What a description may expand to: aliases are replayed, and count every time.
const MAX_SCALAR_BYTES: usize = 4 * MAX_FILE_BYTES;

/// How many values a description may have, those of replayed aliases included.
const MAX_NODES: usize = 100_000;

impl Skill {
    /// Reads the skill that a directory holds.
    ///
    /// With a `skill.yaml`, that describes it, and the body of a `SKILL.md` beside it becomes
    /// [`markdown_content`](Self::markdown_content); if that file cannot be read, a warning is
    /// logged. Otherwise the front matter of `SKILL.md` describes it. Reads files and blocks;
    /// meant for the start of an agent.
    ///
    /// # Errors
    ///
    /// [`SkillError::DirectoryNotFound`], [`NoDefinition`](SkillError::NoDefinition),
    /// [`Read`](SkillError::Read), and [`InFile`](SkillError::InFile) with what
    /// [`parse_yaml`](Self::parse_yaml) or [`parse_markdown`](Self::parse_markdown) says.
    pub fn load(dir: &Path) -> Result<Self, SkillError> {
        if !dir.is_dir() {
            return Err(SkillError::DirectoryNotFound { dir: dir.to_owned() });
        }
        let (yaml, markdown) = (dir.join("skill.yaml"), dir.join("SKILL.md"));
        if let Some(text) = read(&yaml)? {
            let mut skill = Self::parse_yaml(&text).map_err(|problem| in_file(&yaml, problem))?;
            match body_of(&markdown) {
                Ok(body) => skill.markdown_content = body,
                Err(error) => {
                    tracing::warn!(skill = %skill.id, %error, "skipping the text beside skill.yaml");
                }
            }
            return Ok(skill);
        }
        match read(&markdown)? {
            Some(text) => {
                Self::parse_markdown(&text).map_err(|problem| in_file(&markdown, problem))
            }
            None => Err(SkillError::NoDefinition { dir: dir.to_owned() }),
        }
    }

    /// Reads the text of a `skill.yaml`.
    ///
    /// ```
    /// # use bindu_agent::skills::Skill;
    /// let skill = Skill::parse_yaml("name: sum\ndescription: Adds.\nperformance: {ms: 40}\n")?;
    /// assert_eq!(skill.performance.as_ref().map(|p| &p["ms"]), Some(&40.into()));
    /// # Ok::<(), bindu_agent::skills::SkillError>(())
    /// ```
    ///
    /// YAML 1.2, where `yes`, `no`, `on` and `off` are booleans too, except in members that hold
    /// text. Of a repeated key the last one counts. Nesting, and what aliases expand to, are
    /// bounded.
    ///
    /// # Errors
    ///
    /// [`SkillError::TooLarge`], [`Yaml`](SkillError::Yaml), and those of
    /// [`from_value`](Self::from_value).
    pub fn parse_yaml(text: &str) -> Result<Self, SkillError> {
        check_size(text)?;
        let mut skill = Self::from_value(parse(text)?)?;
        skill.source = Some(documentation(DocumentationFormat::Yaml, text));
        Ok(skill)
    }

    /// Reads the text of a `SKILL.md`: YAML between two lines `---`, then the text that becomes
    /// [`markdown_content`](Self::markdown_content).
    ///
    /// # Errors
    ///
    /// [`SkillError::NoFrontMatter`], [`UnclosedFrontMatter`](SkillError::UnclosedFrontMatter),
    /// and those of [`parse_yaml`](Self::parse_yaml).
    pub fn parse_markdown(text: &str) -> Result<Self, SkillError> {
        check_size(text)?;
        let (front, body) = split_front_matter(text)?;
        let mut skill = Self::from_value(parse(front)?)?;
        skill.markdown_content = non_empty(body);
        skill.source = Some(documentation(DocumentationFormat::Markdown, text));
        Ok(skill)
    }

    /// Reads a skill that somebody sent: single members, and perhaps the text of its file. Members
    /// that are there win over what the file says. Nothing but a name is needed; without a file, modes
    /// that are not named are none.
    ///
    /// A file that cannot be read as what it is said to be is tried as the other kind. If that
    /// fails too a warning is logged; it is the skill's documentation all the same.
    ///
    /// ```
    /// use bindu_agent::skills::{DocumentationFormat, Skill};
    ///
    /// let file = "id: sum-v1\nname: sum\ndescription: Adds.\nexamples: [1 + 1]\n";
    /// let members = [("name".to_owned(), "sum".into()), ("version".to_owned(), "2".into())];
    /// let members = members.into_iter().collect();
    /// let skill = Skill::sent(members, Some((DocumentationFormat::Yaml, file)))?;
    /// assert_eq!((skill.id.as_str(), skill.description.as_str()), ("sum-v1", "Adds."));
    /// assert_eq!(skill.version, Some("2".into()));
    /// # Ok::<(), bindu_agent::skills::SkillError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SkillError::TooLarge`], and those of [`from_value`](Self::from_value).
    pub fn sent(
        members: Map<String, Value>,
        file: Option<(DocumentationFormat, &str)>,
    ) -> Result<Self, SkillError> {
        let mut all = Map::new();
        let (mut body, mut source) = (None, None);
        if let Some((format, text)) = file {
            check_size(text)?;
            let (format, found) = told(format, text);
            match found {
                Ok((read, after)) => (all, body) = (read, after),
                Err(error) => tracing::warn!(
                    skill = members.get("name").and_then(|name| name.as_str()),
                    %error,
                    "the file of a skill cannot be read"
                ),
            }
            source = Some(documentation(format, text));
        }
        all.extend(members);
        let lacks = |name: &str| matches!(all.get(name), None | Some(Value::Null));
        let (no_input, no_output) =
            (source.is_none() && lacks("input_modes"), source.is_none() && lacks("output_modes"));
        let undescribed = lacks("description") || all["description"].as_str() == Some("");
        if undescribed {
            all.insert("description".into(), "-".into());
        }
        let mut skill = Self::from_value(Value::Object(all))?;
        if undescribed {
            skill.description.clear();
        }
        if no_input {
            skill.input_modes.clear();
        }
        if no_output {
            skill.output_modes.clear();
        }
        (skill.markdown_content, skill.source) = (body, source);
        Ok(skill)
    }
}

/// What a file says, and the text after its front matter.
type Told = (Map<String, Value>, Option<String>);

/// Reads a file as the format that it is said to have, or as the other one.
fn told(
    format: DocumentationFormat,
    text: &str,
) -> (DocumentationFormat, Result<Told, SkillError>) {
    let read = |format| match format {
        DocumentationFormat::Yaml => mapping(text).map(|map| (map, None)),
        DocumentationFormat::Markdown => {
            let (front, body) = split_front_matter(text)?;
            Ok((mapping(front)?, non_empty(body)))
        }
    };
    let other = match format {
        DocumentationFormat::Yaml => DocumentationFormat::Markdown,
        DocumentationFormat::Markdown => DocumentationFormat::Yaml,
    };
    match read(format) {
        Ok(told) => (format, Ok(told)),
        Err(error) => match read(other) {
            Ok(told) => (other, Ok(told)),
            Err(_) => (format, Err(error)),
        },
    }
}

fn mapping(text: &str) -> Result<Map<String, Value>, SkillError> {
    match parse(text)? {
        Value::Object(map) => Ok(map),
        _ => Err(SkillError::Yaml { message: "it is no mapping".to_owned() }),
    }
}

fn documentation(format: DocumentationFormat, text: &str) -> Documentation {
    Documentation { format, content: text.to_owned() }
}

fn check_size(text: &str) -> Result<(), SkillError> {
    if text.len() > MAX_FILE_BYTES { Err(SkillError::TooLarge) } else { Ok(()) }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Members that hold text, where a `yes` is the word and not a boolean.
const TEXTS: [&str; 8] = [
    "allowed-tools",
    "assessment",
    "description",
    "id",
    "input_modes",
    "name",
    "output_modes",
    "tags",
];

/// Reads YAML as its authors mean it: `supported: yes` is true, but `name: y` is a name.
///
/// In YAML 1.2 only `true` and `false` are booleans; in 1.1 so are `yes`, `no`, `on`, `off`, `y`
/// and `n`, of which the last two were never taken for such in practice. So the text is read both
/// ways, and what differs is decided here.
fn parse(text: &str) -> Result<Value, SkillError> {
    let mut value = parse_with(text, true)?;
    let mut lenient = parse_with(text, false)?;
    if let (Value::Object(members), Value::Object(lenient)) = (&mut value, &mut lenient) {
        for (name, member) in members.iter_mut().filter(|(name, _)| !TEXTS.contains(&name.as_str()))
        {
            take_booleans(member, lenient.get(name).unwrap_or(&Value::Null));
        }
    }
    Ok(value)
}

fn parse_with(text: &str, strict_booleans: bool) -> Result<Value, SkillError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_nodes: MAX_NODES,
            max_total_scalar_bytes: MAX_SCALAR_BYTES,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        strict_booleans: strict_booleans,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text.trim_start_matches('\u{feff}'), options)
        .map_err(|error| SkillError::Yaml { message: error.to_string() })
}

/// Replaces the words that the lenient reading takes for booleans, but for `y` and `n`.
fn take_booleans(strict: &mut Value, lenient: &Value) {
    match (strict, lenient) {
        (Value::Array(items), Value::Array(lenient)) => {
            items.iter_mut().zip(lenient).for_each(|(item, lenient)| take_booleans(item, lenient));
        }
        (Value::Object(members), Value::Object(lenient)) => {
            for (name, member) in members {
                take_booleans(member, lenient.get(name).unwrap_or(&Value::Null));
            }
        }
        (word, Value::Bool(truth)) if word.as_str().is_some_and(|word| word.len() > 1) => {
            *word = Value::Bool(*truth);
        }
        _ => {}
    }
}

/// The YAML and the body. The closing marker is a line of its own: a `---` inside a value is none.
fn split_front_matter(text: &str) -> Result<(&str, &str), SkillError> {
    let text = text.trim().trim_start_matches('\u{feff}').trim_start();
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if first.trim_end() != "---" {
        return Err(SkillError::NoFrontMatter);
    }
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            return Ok((&rest[..end], rest[end + line.len()..].trim()));
        }
        end += line.len();
    }
    Err(SkillError::UnclosedFrontMatter)
}

/// The body of a `SKILL.md` that stands beside a `skill.yaml`.
fn body_of(file: &Path) -> Result<Option<String>, SkillError> {
    let Some(text) = read(file)? else {
        return Ok(None);
    };
    let (_, body) = split_front_matter(&text).map_err(|problem| in_file(file, problem))?;
    Ok(non_empty(body))
}

/// A file's text, or `None` if there is no such file. Reads no more than it may.
fn read(file: &Path) -> Result<Option<String>, SkillError> {
    let failed = |source| SkillError::Read { file: file.to_owned(), source };
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(in_file(file, SkillError::TooLarge));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

fn in_file(file: &Path, problem: SkillError) -> SkillError {
    SkillError::InFile { file: file.to_owned(), problem: Box::new(problem) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_values_keep_their_types() {
        let skill = Skill::parse_yaml(concat!(
            "name: n\ndescription: d\nversion: 2\nauthor: 1.5\n",
            "requirements: {n: -3, big: 18446744073709551615, f: 1e3, s: '7', z: ~, 1: x}\n",
        ))
        .unwrap();
        assert_eq!(skill.version, Some(json!(2)));
        assert_eq!(skill.author, Some(json!(1.5)));
        assert_eq!(
            skill.requirements,
            Some(json!({
                "n": -3, "big": 18_446_744_073_709_551_615_u64, "f": 1000.0, "s": "7", "z": null,
                "1": "x",
            }))
        );
    }

    #[test]
    fn a_yes_is_a_boolean_unless_it_is_quoted_or_stands_for_a_text() {
        let skill = Skill::parse_yaml(concat!(
            "name: y\ndescription: No\ntags: [on, off, true]\n",
            "capabilities_detail: {a: {supported: yes, axis: y}, b: [No, 'no', off, false, n]}\n",
        ))
        .unwrap();
        assert_eq!((skill.name.as_str(), skill.description.as_str()), ("y", "No"));
        assert_eq!(skill.tags, ["on", "off", "true"]);
        assert_eq!(
            skill.capabilities_detail.map(Value::Object),
            Some(json!({
                "a": {"supported": true, "axis": "y"}, "b": [false, "no", false, false, "n"],
            }))
        );
    }

    #[test]
    fn a_marker_inside_a_value_does_not_close_the_front_matter() {
        let skill = Skill::parse_markdown(
            "\u{feff}---\r\nname: n\r\ndescription: a---b\r\n---\r\n\r\nBody\r\n---\r\nmore\r\n",
        )
        .unwrap();
        assert_eq!(skill.description, "a---b");
        assert_eq!(skill.markdown_content.as_deref(), Some("Body\r\n---\r\nmore"));
    }

    #[test]
    fn front_matter_may_end_with_dots_and_the_body_may_be_empty() {
        let skill = Skill::parse_markdown("---\nname: n\ndescription: d\n...").unwrap();
        assert_eq!(skill.markdown_content, None);
    }

    #[test]
    fn missing_and_unclosed_front_matter_are_told_apart() {
        let error = |text| Skill::parse_markdown(text).unwrap_err();
        assert!(matches!(error("# Title"), SkillError::NoFrontMatter));
        assert!(matches!(error(""), SkillError::NoFrontMatter));
        assert!(matches!(error("----\nname: n\n----"), SkillError::NoFrontMatter));
        assert!(matches!(error("---\nname: n"), SkillError::UnclosedFrontMatter));
        assert!(matches!(error("---"), SkillError::UnclosedFrontMatter));
        assert!(matches!(error("---\n- a\n---"), SkillError::NotAMapping { found: "a list" }));
        assert!(matches!(error("---\na: [\n---"), SkillError::Yaml { .. }));
    }

    #[test]
    fn alias_bombs_and_long_files_are_refused() {
        let level = |n: u32| match n {
            0 => "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(),
            n => format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(8)),
        };
        let bomb = |levels: u32| {
            let levels: String = (0..levels).map(level).collect();
            Skill::parse_yaml(&format!("name: n\ndescription: d\n{levels}"))
        };
        assert!(bomb(3).is_ok());
        assert!(matches!(bomb(10), Err(SkillError::Yaml { .. })));

        let scalar = "x".repeat(MAX_FILE_BYTES / 2);
        let long = format!("name: n\ndescription: &d {scalar}\na: [{}]\n", "*d, ".repeat(50));
        assert!(matches!(Skill::parse_yaml(&long), Err(SkillError::Yaml { .. })));

        let too_long = "#".repeat(MAX_FILE_BYTES + 1);
        assert!(matches!(Skill::parse_yaml(&too_long), Err(SkillError::TooLarge)));
        assert!(matches!(Skill::parse_markdown(&too_long), Err(SkillError::TooLarge)));

        let deep = format!("name: {}", "[".repeat(100_000));
        assert!(matches!(Skill::parse_yaml(&deep), Err(SkillError::Yaml { .. })));
    }

    #[test]
    fn the_yaml_describes_and_the_markdown_beside_it_adds_its_body() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("skill.yaml"), "name: y\ndescription: d\n").unwrap();
        fs::write(dir.path().join("SKILL.md"), "---\nname: m\n---\nBody").unwrap();
        let skill = Skill::load(dir.path()).unwrap();
        assert_eq!(skill.name, "y");
        assert_eq!(skill.markdown_content.as_deref(), Some("Body"));
        assert_eq!(skill.source.unwrap().format, DocumentationFormat::Yaml);

        fs::write(dir.path().join("SKILL.md"), "no front matter").unwrap();
        assert_eq!(Skill::load(dir.path()).unwrap().markdown_content, None);
    }

    #[test]
    fn errors_name_the_directory_or_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let error = || Skill::load(dir.path()).unwrap_err();
        assert!(matches!(
            Skill::load(&dir.path().join("nowhere")),
            Err(SkillError::DirectoryNotFound { .. })
        ));
        assert!(matches!(error(), SkillError::NoDefinition { .. }));

        fs::write(dir.path().join("SKILL.md"), "---\nname: n\n---\n").unwrap();
        assert!(error().to_string().ends_with("SKILL.md: description is missing"));
        fs::write(dir.path().join("skill.yaml"), b"name: \xff").unwrap();
        assert!(error().to_string().ends_with("skill.yaml"), "{}", error());
        fs::write(dir.path().join("skill.yaml"), vec![b'#'; MAX_FILE_BYTES + 1]).unwrap();
        assert!(matches!(error(), SkillError::InFile { problem, .. }
            if matches!(*problem, SkillError::TooLarge)));
    }

    #[test]
    fn what_was_sent_wins_and_a_file_that_cannot_be_read_is_documentation_still() {
        let members = |json: Value| match json {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let bare = Skill::sent(members(serde_json::json!({"name": "bare"})), None).unwrap();
        assert_eq!((bare.id.as_str(), bare.description.as_str()), ("bare", ""));
        assert!(bare.input_modes.is_empty() && bare.source.is_none());

        let front = "---\nname: md\ntags: [a]\n---\n# x\n";
        let sent = members(serde_json::json!({"name": "mine", "tags": ["b"]}));
        let skill = Skill::sent(sent, Some((DocumentationFormat::Yaml, front))).unwrap();
        assert_eq!((skill.name.as_str(), skill.tags), ("mine", vec!["b".to_owned()]));
        assert_eq!(skill.markdown_content.as_deref(), Some("# x"));
        assert_eq!(skill.source.unwrap().format, DocumentationFormat::Markdown);

        let sent = members(serde_json::json!({"name": "odd"}));
        let skill = Skill::sent(sent, Some((DocumentationFormat::Yaml, "a: [b"))).unwrap();
        assert_eq!(skill.source.unwrap().content, "a: [b");
        let nameless = Skill::sent(Map::new(), Some((DocumentationFormat::Yaml, "a: b")));
        assert!(matches!(nameless, Err(SkillError::Missing { .. })), "{nameless:?}");
    }
}
