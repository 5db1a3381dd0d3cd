//! Where variables come from. The one place that reads the process environment.

use std::{collections::BTreeMap, env, fmt, path::Path};

use crate::config::ConfigError;

/// Variables in layers; an earlier layer hides a later one.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    layers: Vec<BTreeMap<String, String>>,
}

impl Environment {
    /// The variables of this process. Those that are not Unicode are passed over: no
    /// setting of ours can have such a value.
    pub(crate) fn of_process() -> Self {
        let mut environment = Self::default();
        environment.push(env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
        environment
    }

    /// Adds variables that hold where no earlier layer has the name.
    pub(crate) fn push(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        self.layers.push(variables.into_iter().collect());
    }

    /// Adds the variables of a `.env` file, if there is one.
    ///
    /// # Errors
    ///
    /// The file is there, but cannot be read or understood.
    pub(crate) fn push_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        // `.env` is also a usual name for a Python environment, which is a directory.
        if !path.is_file() {
            return Ok(());
        }
        let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(dotenvy::Error::Io(source)) => return Err(unreadable(source)),
            Err(_) => return Err(not_dotenv(path, None)),
        };
        let mut layer = BTreeMap::new();
        let mut last: Option<String> = None;
        for line in lines {
            match line {
                Ok((name, value)) => {
                    last = Some(name.clone());
                    // The first line of a name counts, as with the dotenv tools.
                    layer.entry(name).or_insert(value);
                }
                Err(dotenvy::Error::Io(source)) => return Err(unreadable(source)),
                // The error would show the line, which may hold a secret.
                Err(_) => return Err(not_dotenv(path, last)),
            }
        }
        self.layers.push(layer);
        Ok(())
    }

    /// The value of the first of `names` in the first layer that has one of them, and
    /// which name that was. A name without section (`__`) that is set to nothing counts
    /// as not set.
    pub(crate) fn find<'a>(&self, names: &'a [&'static str]) -> Option<(&'a str, &str)> {
        self.layers.iter().find_map(|layer| {
            names.iter().find_map(|name| {
                let value = get(layer, name)?;
                (name.contains("__") || !value.is_empty()).then_some((*name, value))
            })
        })
    }

    /// The value of any variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.layers.iter().find_map(|layer| get(layer, name))
    }

    /// All names, as they are written.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().flat_map(|layer| layer.keys().map(String::as_str))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} variables]", self.names().count())
    }
}

/// Case does not matter, but the exact name wins over one in another case.
fn get<'a>(layer: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    layer
        .get(name)
        .or_else(|| {
            layer.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
        .map(String::as_str)
}

fn not_dotenv(path: &Path, last: Option<String>) -> ConfigError {
    let place = match last {
        Some(name) => format!("the line after {name}"),
        None => "the first line".to_owned(),
    };
    ConfigError::DotEnv { path: path.to_owned(), place }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn layered(layers: &[&[(&str, &str)]]) -> Environment {
        let mut environment = Environment::default();
        for layer in layers {
            environment.push(layer.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        }
        environment
    }

    #[test]
    fn an_earlier_layer_hides_a_later_one_whatever_the_name() {
        let environment = layered(&[&[("STORAGE_TYPE", "a")], &[("STORAGE__BACKEND", "b")]]);
        let names = ["STORAGE__BACKEND", "STORAGE_TYPE"];
        assert_eq!(environment.find(&names), Some(("STORAGE_TYPE", "a")));
    }

    #[test]
    fn names_are_found_in_any_case_and_the_exact_one_first() {
        let environment = layered(&[&[("host", "lower"), ("Port", "1")]]);
        assert_eq!(environment.find(&["HOST"]), Some(("HOST", "lower")));
        let both = layered(&[&[("Host", "mixed"), ("HOST", "exact")]]);
        assert_eq!(both.get("HOST"), Some("exact"));
    }

    #[test]
    fn an_empty_value_counts_only_with_a_section() {
        let environment = layered(&[&[("HOST", ""), ("A__B", "")]]);
        assert_eq!(environment.find(&["HOST"]), None);
        assert_eq!(environment.find(&["A__B"]), Some(("A__B", "")));
    }

    #[test]
    fn a_dotenv_file_is_read_and_its_absence_is_fine() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(".env");
        let mut environment = layered(&[&[("PORT", "1")]]);
        environment.push_file(&path)?;
        fs::write(&path, "# comment\nexport PORT=2\nHOST='a b'\nHOST=second\n")?;
        environment.push_file(&path)?;
        assert_eq!(environment.get("PORT"), Some("1"));
        assert_eq!(environment.get("HOST"), Some("a b"));
        Ok(())
    }

    #[test]
    fn a_broken_dotenv_file_is_an_error_that_hides_its_lines()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(".env");
        fs::write(&path, "A=1\nTOKEN='hunter2\n")?;
        let error = Environment::default().push_file(&path).expect_err("an open quote");
        let message = error.to_string();
        assert!(message.contains("the line after A"), "{message}");
        assert!(!format!("{error:?} {message}").contains("hunter2"));
        Ok(())
    }

    #[test]
    fn a_directory_named_dotenv_is_passed_over() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let mut environment = Environment::default();
        environment.push_file(dir.path())?;
        assert_eq!(environment.names().count(), 0);
        Ok(())
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", layered(&[&[("A", "secret")]])), "[1 variables]");
    }
}
