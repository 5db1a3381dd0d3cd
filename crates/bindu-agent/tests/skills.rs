//! Skills from files to the answers of an agent's routes.

use std::fs;

use bindu_agent::skills::{Catalog, Skill, SkillSet};
use serde_json::{Value, json};

const YAML: &str = r#"id: colour-naming-v1
name: colour-naming
version: 1.2.0
author: wire@example.com
description: Names a colour given an RGB triple or a plain description.
tags:
  - colour
  - naming
input_modes:
  - text/plain
  - application/json
output_modes:
  - text/plain
examples:
  - "What is #ff8800 called?"
capabilities_detail:
  rgb_lookup:
    supported: true
    formats:
      - hex
requirements:
  packages: []
  min_memory_mb: 16
performance:
  avg_processing_time_ms: 120
allowed_tools:
  - Read
assessment:
  keywords:
    - colour
  specializations:
    - domain: paint
      confidence_boost: 0.25
  anti_patterns:
    - mix pigments
"#;

const MARKDOWN: &str = "---
name: unit-conversion
description: Converts lengths and weights between unit systems.
tags: [units, length]
output_modes: [text/plain, application/json]
version: 0.3.1
performance:
  avg_processing_time_ms: 40
license: MIT
---
# Unit conversion

Give a number.
";

fn json_of(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn both() -> SkillSet {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("skill.yaml"), YAML).unwrap();
    let yaml = Skill::load(dir.path()).unwrap();
    fs::remove_file(dir.path().join("skill.yaml")).unwrap();
    fs::write(dir.path().join("SKILL.md"), MARKDOWN).unwrap();
    SkillSet::new(vec![yaml, Skill::load(dir.path()).unwrap()]).unwrap()
}

#[test]
fn the_listing_has_every_skill_in_short() {
    assert_eq!(
        json_of(both().listing("http://a.example/")),
        json!({
            "skills": [
                {
                    "id": "colour-naming-v1",
                    "name": "colour-naming",
                    "description": "Names a colour given an RGB triple or a plain description.",
                    "version": "1.2.0",
                    "tags": ["colour", "naming"],
                    "input_modes": ["text/plain", "application/json"],
                    "output_modes": ["text/plain"],
                    "examples": ["What is #ff8800 called?"],
                    "documentation_path":
                        "http://a.example/agent/skills/colour-naming-v1/documentation",
                },
                {
                    "id": "unit-conversion",
                    "name": "unit-conversion",
                    "description": "Converts lengths and weights between unit systems.",
                    "version": "0.3.1",
                    "tags": ["units", "length"],
                    "input_modes": ["text/plain"],
                    "output_modes": ["text/plain", "application/json"],
                    "documentation_path":
                        "http://a.example/agent/skills/unit-conversion/documentation",
                },
            ],
            "total": 2,
        })
    );
}

#[test]
fn the_detail_of_a_yaml_skill_is_what_the_file_says() {
    let skills = both();
    let skill = skills.find("colour-naming").unwrap();
    assert_eq!(
        json_of(skill.detail("http://a.example")),
        json!({
            "id": "colour-naming-v1",
            "name": "colour-naming",
            "description": "Names a colour given an RGB triple or a plain description.",
            "tags": ["colour", "naming"],
            "input_modes": ["text/plain", "application/json"],
            "output_modes": ["text/plain"],
            "version": "1.2.0",
            "author": "wire@example.com",
            "examples": ["What is #ff8800 called?"],
            "capabilities_detail": {"rgb_lookup": {"supported": true, "formats": ["hex"]}},
            "requirements": {"packages": [], "min_memory_mb": 16},
            "performance": {"avg_processing_time_ms": 120},
            "allowed_tools": ["Read"],
            "assessment": {
                "keywords": ["colour"],
                "specializations": [{"domain": "paint", "confidence_boost": 0.25}],
                "anti_patterns": ["mix pigments"],
            },
            "documentation_path": "http://a.example/agent/skills/colour-naming-v1/documentation",
            "has_documentation": true,
        })
    );
    let source = skill.source.as_ref().unwrap();
    assert_eq!(source.content, YAML);
    assert_eq!(source.format.media_type(), "application/yaml");
}

#[test]
fn the_detail_of_a_markdown_skill_has_its_body() {
    let skills = both();
    let skill = skills.find("unit-conversion").unwrap();
    assert_eq!(
        json_of(skill.detail("http://a.example")),
        json!({
            "id": "unit-conversion",
            "name": "unit-conversion",
            "description": "Converts lengths and weights between unit systems.",
            "tags": ["units", "length"],
            "input_modes": ["text/plain"],
            "output_modes": ["text/plain", "application/json"],
            "version": "0.3.1",
            "performance": {"avg_processing_time_ms": 40},
            "license": "MIT",
            "documentation_path": "http://a.example/agent/skills/unit-conversion/documentation",
            "markdown_content": "# Unit conversion\n\nGive a number.",
            "has_documentation": true,
        })
    );
    let source = skill.source.as_ref().unwrap();
    assert_eq!(source.content, MARKDOWN);
    assert_eq!(source.format.media_type(), "text/markdown; charset=utf-8");
}

#[test]
fn an_inline_skill_has_no_documentation() {
    let skill = Skill::from_value(json!({"name": "n", "description": "d", "colour": 1})).unwrap();
    assert_eq!(
        json_of(skill.detail("http://a.example")),
        json!({
            "id": "n", "name": "n", "description": "d", "tags": [],
            "input_modes": ["text/plain"], "output_modes": ["text/plain"],
            "has_documentation": false,
        })
    );
    let summary = json_of(skill.summary("http://a.example"));
    assert_eq!(summary["version"], "unknown");
    assert_eq!(summary.get("documentation_path"), None);
}

#[test]
fn the_card_says_what_a_skill_does_and_where_its_detail_is() {
    assert_eq!(
        json_of(both().find("unit-conversion").unwrap().card("http://a.example")),
        json!({
            "id": "unit-conversion",
            "name": "unit-conversion",
            "description": "Converts lengths and weights between unit systems.",
            "tags": ["units", "length"],
            "inputModes": ["text/plain"],
            "outputModes": ["text/plain", "application/json"],
            "documentationPath": "http://a.example/agent/skills/unit-conversion",
        })
    );
}

#[test]
fn ids_are_escaped_in_urls() {
    let skill = json!({"id": "größe 7?#%", "name": "n", "description": "d"});
    let card = Skill::from_value(skill).unwrap().card("http://a.example");
    assert_eq!(
        card.documentation_path.as_deref(),
        Some("http://a.example/agent/skills/gr%C3%B6%C3%9Fe%207%3F%23%25")
    );
}

#[test]
fn an_agent_without_skills_lists_none() {
    let listing = json_of(SkillSet::default().listing("http://a.example"));
    assert_eq!(listing, json!({"skills": [], "total": 0}));
}

#[test]
fn private_skills_have_addresses_of_their_own() {
    let mut skill =
        Skill::from_value(json!({"id": "a b", "name": "n", "description": "d"})).unwrap();
    let card = json_of(skill.card_in(Catalog::Private, "http://a.example/"));
    assert_eq!(card["documentationPath"], "http://a.example/agent/private/skills/a%20b");
    skill.source = both().find("unit-conversion").unwrap().source.clone();
    let detail = json_of(skill.detail_in(Catalog::Private, "http://a.example"));
    assert_eq!(
        detail["documentation_path"],
        "http://a.example/agent/private/skills/a%20b/documentation"
    );
}
