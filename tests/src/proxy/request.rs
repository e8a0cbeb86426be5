//! What a request asks for, and of what.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::frame::texts;

/// A request, as a rule sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The command in capitals; of a script that the crate sends its file's name: `take`.
    pub(super) name: String,
    /// Of a script its keys, else all that stands behind the command.
    pub(super) keys: Vec<String>,
}

impl Request {
    pub(super) fn read(frame: &[u8]) -> Self {
        let mut words: Vec<String> = if frame.starts_with(b"*") {
            let text = |range| String::from_utf8_lossy(&frame[range]).into_owned();
            texts(frame).into_iter().map(|found| text(found.payload)).collect()
        } else {
            String::from_utf8_lossy(frame).split_whitespace().map(str::to_owned).collect()
        };
        if words.is_empty() {
            return Self { name: String::new(), keys: words };
        }
        let name = words.remove(0).to_uppercase();
        let hash = match (&*name, words.first()) {
            ("EVALSHA", Some(hash)) => Some(hash.to_lowercase()),
            ("EVAL", Some(text)) => Some(hash_of(text)),
            _ => None,
        };
        let Some(hash) = hash else { return Self { name, keys: words } };
        let many = words.get(1).and_then(|many| many.parse().ok()).unwrap_or(0);
        let keys = words.into_iter().skip(2).take(many).collect();
        Self { name: SCRIPTS.get(&hash).cloned().unwrap_or(name), keys }
    }

    /// Whether one of its keys begins like this.
    pub(super) fn is_about(&self, beginning: &str) -> bool {
        self.keys.iter().any(|key| key.starts_with(beginning))
    }
}

/// By the hash under which a server knows them. Some stand behind the text that notes in a journal.
static SCRIPTS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../cache-runtime/src/store/redis/scripts");
    let read = |path: PathBuf| std::fs::read_to_string(path).expect("the scripts can be read");
    let note = read(PathBuf::from(place).join("note.lua"));
    let mut scripts = HashMap::new();
    for file in std::fs::read_dir(place).expect("the scripts are there") {
        let path = file.expect("the scripts are there").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = read(path);
        scripts.insert(hash_of(&format!("{note}{text}")), name.clone());
        scripts.insert(hash_of(&text), name);
    }
    scripts
});

fn hash_of(script: &str) -> String {
    redis::Script::new(script).get_hash().to_owned()
}
