//! The skills of one agent.

use std::collections::HashSet;

use super::{Skill, SkillError};

/// The skills of one agent, in the order they were configured, each with an id of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SkillSet(Vec<Skill>);

impl SkillSet {
    /// Takes the skills of an agent.
    ///
    /// # Errors
    ///
    /// [`SkillError::DuplicateId`] if two have the same id: the second could not be reached.
    /// [`SkillError::BadId`] if an id holds a slash, or is empty.
    pub fn new(skills: Vec<Skill>) -> Result<Self, SkillError> {
        let mut ids = HashSet::new();
        for Skill { id, .. } in &skills {
            if id.is_empty() || id.contains('/') {
                return Err(SkillError::BadId { id: id.clone() });
            }
            if !ids.insert(id) {
                return Err(SkillError::DuplicateId { id: id.clone() });
            }
        }
        Ok(Self(skills))
    }

    /// The first skill that has this id or this name.
    #[must_use]
    pub fn find(&self, id_or_name: &str) -> Option<&Skill> {
        self.0.iter().find(|skill| skill.id == id_or_name || skill.name == id_or_name)
    }

    /// Whether one of them has this id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|skill| skill.id == id)
    }

    /// The skills, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Skill> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a SkillSet {
    type Item = &'a Skill;
    type IntoIter = std::slice::Iter<'a, Skill>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn skill(id: &str, name: &str) -> Skill {
        Skill::from_value(json!({"id": id, "name": name, "description": "d"})).unwrap()
    }

    #[test]
    fn the_first_skill_with_the_id_or_the_name_is_found() {
        let skills =
            SkillSet::new(vec![skill("a", "x"), skill("x", "b"), skill("c", "b")]).unwrap();
        let found = |key| skills.find(key).map(|skill| skill.id.as_str());
        assert_eq!(found("a"), Some("a"));
        assert_eq!(found("x"), Some("a"));
        assert_eq!(found("b"), Some("x"));
        assert_eq!(found("nothing"), None);
    }

    #[test]
    fn an_id_is_given_once() {
        let twice = SkillSet::new(vec![skill("a", "x"), skill("a", "y")]);
        assert!(matches!(twice, Err(SkillError::DuplicateId { id }) if id == "a"));
    }

    #[test]
    fn an_id_set_by_hand_is_checked_too() {
        let mut slash = skill("a", "x");
        slash.id = "a/b".into();
        assert!(matches!(SkillSet::new(vec![slash]), Err(SkillError::BadId { .. })));
    }
}
