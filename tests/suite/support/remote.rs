//! A bare repository that landings are pushed to.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Bench;

/// A bare repository, `remote.git` in this folder.
pub(crate) fn bare(folder: &Path) -> PathBuf {
    let folder = folder.join("remote.git");
    let done = Command::new("git")
        .args(["init", "-q", "--bare"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(done.success());
    folder
}

impl Bench {
    /// Has every landing pushed to this address, which is on this machine, as `origin`; `landing` stands
    /// in the policy's section of that name on top.
    pub(crate) fn pushes_to(&self, url: &str, landing: &Value) {
        self.git(&["remote", "add", "origin", url]);
        self.policy(|policy| {
            policy["actors"]["human"]["EXTERNAL"] = "allow".into();
            let hosts = ["localhost", "127.0.0.1"].map(|host| {
                json!({"id": format!("out-{}", host.replace('.', "-")), "host": host, "purpose": "landing", "reason": "reviews"})
            });
            policy["external_exceptions"] = Value::from(hosts.to_vec());
            policy["landing"]["push"] = true.into();
            policy["landing"]["remote"] = "origin".into();
            for (key, value) in landing.as_object().unwrap() {
                policy["landing"][key] = value.clone();
            }
        });
    }

    /// The same with a bare repository of this bench; its path.
    pub(crate) fn pushes(&self, landing: &Value) -> String {
        let remote = bare(self.folder.path());
        self.pushes_to(&format!("file://{}", remote.display()), landing);
        remote.to_str().unwrap().to_owned()
    }
}
