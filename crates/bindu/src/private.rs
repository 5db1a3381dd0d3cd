//! What an agent shows to some callers only.

use std::path::Path;

use bindu_agent::skills::{SkillError, SkillSet};
use bindu_server::Private;

use crate::StartError;
use crate::agent::load_skills;
use crate::config::AgentConfig;

/// Loads the skills, and what is private; `None` if nothing is said of private skills, nor of
/// callers who may see them.
pub(crate) fn load(
    config: &AgentConfig,
    base: &Path,
) -> Result<(SkillSet, Option<Private>), StartError> {
    let public = load_skills(&config.skills, base)?;
    if config.private_skills.is_empty() && config.allowed_dids.is_empty() {
        return Ok((public, None));
    }
    let skills = load_skills(&config.private_skills, base)?;
    // Here, where the skills are loaded; the server would refuse them too.
    if let Some(twice) = skills.iter().find(|skill| public.has(&skill.id)) {
        return Err(SkillError::DuplicateId { id: twice.id.clone() }.into());
    }
    let allowed = config.allowed_dids.iter().cloned().collect();
    Ok((public, Some(Private { skills, allowed })))
}

/// What is odd about what is private.
pub(crate) fn warnings(config: &AgentConfig, auth: bool) -> Vec<String> {
    let skills = !config.private_skills.is_empty();
    let callers = !config.allowed_dids.is_empty();
    let mut warnings = Vec::new();
    if skills && !callers {
        warnings.push("'private_skills' is set and 'allowed_dids' is empty: nobody sees them");
    }
    if (skills || callers) && !auth {
        warnings.push(
            "'private_skills' and 'allowed_dids' need callers who are known: while authentication \
             is off, nobody sees the private card",
        );
    }
    warnings.into_iter().map(str::to_owned).collect()
}
