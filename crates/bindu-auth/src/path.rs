//! Which paths are open to everybody.

use percent_encoding::percent_decode_str;
use wildmatch::WildMatch;

/// Patterns of open paths.
#[derive(Debug)]
pub(crate) struct PublicPaths(Vec<WildMatch>);

impl PublicPaths {
    pub(crate) fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| WildMatch::new(pattern)).collect())
    }

    /// Whether a path of a request, as it was sent, is open.
    ///
    /// A path that means something else once it is tidied up is not: who decides and who answers
    /// must mean the same.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let Ok(decoded) = percent_decode_str(path).decode_utf8() else { return false };
        let is_odd = decoded.contains(['\\', '\0', '%'])
            || decoded.contains("//")
            || decoded.split('/').any(|segment| matches!(segment, "." | ".."))
            // An encoded slash is one segment to the router and two to a pattern.
            || decoded.matches('/').count() != path.matches('/').count();
        !is_odd && self.0.iter().any(|pattern| pattern.matches(&decoded))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::PUBLIC_PATHS;

    fn public() -> PublicPaths {
        PublicPaths::new(&PUBLIC_PATHS.map_owned())
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for [&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|&path| path.to_owned()).collect()
        }
    }

    #[test]
    fn open_paths_are_those_of_the_patterns() {
        for path in [
            "/health",
            "/healthz",
            "/.well-known/agent-card.json",
            "/agent/skills",
            "/agent/skills/a%20b/documentation",
        ] {
            assert!(public().contains(path), "{path}");
        }
    }

    #[test]
    fn a_path_that_is_tidied_into_another_is_not_open() {
        for path in [
            "/",
            "",
            "/agent/private.json",
            "/agent/skills/../private.json",
            "/agent/skills/%2e%2e/private.json",
            "/agent/skills/..%2fprivate.json",
            "/agent/skills/%252e%252e/private.json",
            "/health/",
            "//health",
            "/HEALTH",
            "/health\\..\\",
            "/health%00",
            "/agent/skills/%ff",
        ] {
            assert!(!public().contains(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_agent_itself_is_never_open(rest in "[/.%0-9a-f\\\\]{0,12}") {
            let path = format!("/{rest}");
            prop_assert!(!public().contains(&path) || path.starts_with("/.well-known/"));
        }
    }
}
