//! Finds and reads transcript files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{json::Json, runner::Error};

/// One transcript and where it was found.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) file: PathBuf,
    pub(super) json: Json,
}

impl Transcript {
    /// Area and name.
    pub(super) fn title(&self) -> String {
        let folder = || {
            let folder = self.file.parent().and_then(Path::file_name).unwrap_or_default();
            folder.to_string_lossy().into_owned()
        };
        let area = self.json.get("area").map_or_else(folder, Json::to_str);
        format!("{area}/{}", self.json.get("name").map_or_else(String::new, Json::to_str))
    }

    pub(super) fn tags(&self) -> Vec<&str> {
        texts(self.json.get_truthy("tags"))
    }

    /// The agent it talks to.
    pub(super) fn agent(&self) -> &str {
        self.json.get("agent").and_then(Json::as_str).unwrap_or_default()
    }

    /// The agent and whatever else must be running.
    pub(super) fn needs(&self) -> Vec<&str> {
        let mut needs = vec![self.agent()];
        needs.extend(texts(self.json.get_truthy("needs")));
        needs
    }

    pub(super) fn steps(&self) -> &[Json] {
        self.json.get("steps").and_then(Json::as_array).unwrap_or_default()
    }
}

fn texts(list: Option<&Json>) -> Vec<&str> {
    list.and_then(Json::as_array).unwrap_or_default().iter().filter_map(Json::as_str).collect()
}

/// Reads the files named, and those in the folders named: the files of a folder
/// first, then its folders, both by name; folders called `fixtures` are left out,
/// and so are files that hold no `steps`.
pub(super) fn load(paths: &[PathBuf]) -> Result<Vec<Transcript>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files).map_err(|source| Error::Read { path: path.clone(), source })?;
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Error::NotFound(path.clone()));
        }
    }
    let mut transcripts = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)
            .map_err(|source| Error::Read { path: file.clone(), source })?;
        let json =
            Json::parse(&text).map_err(|problem| Error::Json { path: file.clone(), problem })?;
        if json.get("steps").is_some() {
            transcripts.push(Transcript { file, json });
        }
    }
    Ok(transcripts)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            // A link to a folder is not followed.
            if !path.is_symlink() && entry.file_name() != "fixtures" {
                folders.push(path);
            }
        } else if entry.file_name().as_encoded_bytes().ends_with(b".json") {
            files.push(path);
        }
    }
    folders.iter().try_for_each(|folder| walk(folder, files))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{Error, load};

    fn write(folder: &Path, name: &str, text: &str) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn transcripts_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/two.json", "b/one.json", "a/z.json", "top.json", "a/fixtures/no.json"] {
            write(folder.path(), name, r#"{"name":"n","agent":"echo","steps":[]}"#);
        }
        write(folder.path(), "a/data.json", r#"{"cases":[]}"#);
        write(folder.path(), "a/notes.txt", "steps");
        let found = load(&[folder.path().to_owned()]).unwrap();
        let titles: Vec<_> = found
            .iter()
            .map(|one| {
                assert_eq!(one.needs(), ["echo"]);
                one.file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(titles, ["top.json", "a/z.json", "b/one.json", "b/two.json"]);
        assert_eq!(found[1].title(), "a/n");
    }

    #[test]
    fn a_missing_file_and_a_broken_one_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.json");
        assert!(matches!(load(&[missing]), Err(Error::NotFound(_))));
        write(folder.path(), "broken.json", "{");
        assert!(matches!(load(&[folder.path().to_owned()]), Err(Error::Json { .. })));
    }
}
