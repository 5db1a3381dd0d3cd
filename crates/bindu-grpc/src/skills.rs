//! Skills as an SDK sends them.

use std::collections::HashSet;

use bindu_agent::skills::{DocumentationFormat, Skill};
use serde_json::{Map, Value};

use crate::proto::SkillDefinition;

/// Reads the skills of a registration. What an SDK says of a skill wins over what the skill's file
/// says; the file is the skill's documentation.
///
/// # Errors
///
/// A text that names the skill: one has no name, two have the same, or a value has no place in a
/// skill.
pub(crate) fn read(definitions: Vec<SkillDefinition>) -> Result<Vec<Skill>, String> {
    let mut skills = Vec::with_capacity(definitions.len());
    let mut names = HashSet::new();
    for (index, definition) in definitions.into_iter().enumerate() {
        let skill = skill(definition).map_err(|error| format!("skills[{index}]: {error}"))?;
        if !names.insert(skill.name.clone()) {
            return Err(format!("skills[{index}]: there are two skills named {:?}", skill.name));
        }
        skills.push(skill);
    }
    Ok(skills)
}

fn skill(definition: SkillDefinition) -> Result<Skill, bindu_agent::skills::SkillError> {
    let mut members = Map::new();
    let texts = [
        ("name", definition.name),
        ("description", definition.description),
        ("version", definition.version),
        ("author", definition.author),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            members.insert(name.to_owned(), text.into());
        }
    }
    let lists = [
        ("tags", definition.tags),
        ("input_modes", definition.input_modes),
        ("output_modes", definition.output_modes),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            members.insert(name.to_owned(), Value::from(list));
        }
    }
    let format = match definition.format.as_str() {
        "markdown" => DocumentationFormat::Markdown,
        _ => DocumentationFormat::Yaml,
    };
    let file = Some(definition.raw_content).filter(|file| !file.is_empty());
    Skill::sent(members, file.as_deref().map(|file| (format, file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> SkillDefinition {
        SkillDefinition { name: name.to_owned(), ..SkillDefinition::default() }
    }

    #[test]
    fn a_file_adds_what_the_message_has_no_field_for() {
        let full = SkillDefinition {
            tags: vec!["a".to_owned()],
            version: "9".to_owned(),
            raw_content: "id: full-v1\nname: other\nversion: 1\nexamples:\n  - hi\n".to_owned(),
            format: "yaml".to_owned(),
            ..named("full")
        };
        let skills = read(vec![full, named("bare")]).unwrap();
        assert_eq!((skills[0].id.as_str(), skills[0].name.as_str()), ("full-v1", "full"));
        assert_eq!(skills[0].version, Some("9".into()));
        assert_eq!(skills[0].examples, Some(serde_json::json!(["hi"])));
        assert_eq!(
            skills[0].source.as_ref().map(|file| file.format),
            Some(DocumentationFormat::Yaml)
        );
        assert_eq!(skills[1].id, "bare");
    }

    #[test]
    fn a_skill_needs_a_name_of_its_own() {
        let nameless = read(vec![named("a"), named("")]).unwrap_err();
        assert_eq!(nameless, "skills[1]: name is missing");
        let twice = read(vec![named("a"), named("a")]).unwrap_err();
        assert_eq!(twice, "skills[1]: there are two skills named \"a\"");
    }
}
