//! The worker's container: what its files say, and the worker behind the mounts that they name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::{Bench, program, ran};

fn file(name: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../container");
    std::fs::read_to_string(top.join(name)).unwrap()
}

fn service() -> Yaml {
    let all = YamlLoader::load_from_str(&file("compose.yaml")).unwrap();
    let services = all[0]["services"].as_hash().unwrap();
    assert_eq!(services.len(), 1);
    all[0]["services"]["worker"].clone()
}

/// Source, place and whether it can be written, of every mount.
fn mounts(service: &Yaml) -> Vec<(String, String, bool)> {
    let text = |value: &Yaml| value.as_str().unwrap().to_owned();
    let volumes = service["volumes"].as_vec().unwrap().iter();
    volumes
        .map(|volume| {
            assert_eq!(volume["type"].as_str(), Some("bind"));
            let writable = volume["read_only"].as_bool() != Some(true);
            (text(&volume["source"]), text(&volume["target"]), writable)
        })
        .collect()
}

#[test]
fn the_compose_file_lets_only_the_queue_be_written() {
    let service = service();
    assert_eq!(service["read_only"].as_bool(), Some(true));
    assert_eq!(
        service["cap_drop"].as_vec().unwrap()[0].as_str(),
        Some("ALL")
    );
    let options = service["security_opt"].as_vec().unwrap();
    assert_eq!(options[0].as_str(), Some("no-new-privileges:true"));
    for absent in [
        "ports",
        "privileged",
        "cap_add",
        "devices",
        "pid",
        "ipc",
        "env_file",
    ] {
        assert!(service[absent].is_badvalue(), "{absent}");
    }
    assert!(
        service["tmpfs"].as_vec().unwrap()[0]
            .as_str()
            .unwrap()
            .starts_with("/tmp:")
    );
    let writable: Vec<_> = mounts(&service)
        .into_iter()
        .filter(|mount| mount.2)
        .collect();
    assert_eq!(writable.len(), 1, "{writable:?}");
    assert_eq!(writable[0].1, "/repo/.autodev_queue");
    // Not root by default, and never a user that the file does not name.
    let user = service["user"].as_str().unwrap();
    assert_eq!(user, "${BATON_UID:-1000}:${BATON_GID:-1000}");
}

#[test]
fn the_image_is_built_in_two_stages_and_ends_as_no_root() {
    let text = file("Dockerfile");
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let all = |word: &str| -> Vec<_> {
        let lines = lines.iter().filter(|(first, _)| *first == word);
        lines.map(|(_, rest)| *rest).collect()
    };
    assert_eq!(all("FROM").len(), 2);
    assert!(all("FROM")[0].contains(&format!("rust:{}", env!("CARGO_PKG_RUST_VERSION"))));
    assert_eq!(all("USER"), ["1000:1000"]);
    assert!(all("EXPOSE").is_empty());
    assert!(all("RUN").iter().any(|line| line.contains("--locked")));
    assert_eq!(
        all("ENTRYPOINT"),
        ["[\"/usr/local/bin/baton\", \"worker\"]"]
    );
}

/// bubblewrap with the mounts of the compose file and nothing else that can be written.
fn walled(bench: &Bench) -> Command {
    let mut command = Command::new("bwrap");
    command.args([
        "--unshare-all",
        "--share-net",
        "--die-with-parent",
        "--new-session",
    ]);
    command.args([
        "--hostname",
        "baton-worker",
        "--cap-drop",
        "ALL",
        "--clearenv",
    ]);
    command.args(["--setenv", "HOME", "/tmp", "--setenv", "USER", "worker"]);
    command.args(["--setenv", "PATH", "/usr/bin:/bin"]);
    for folder in ["/usr", "/etc"] {
        command.args(["--ro-bind", folder, folder]);
    }
    for folder in ["/bin", "/lib", "/lib64"] {
        let path = PathBuf::from(folder);
        match std::fs::read_link(&path) {
            Ok(_) => command
                .arg("--symlink")
                .arg(format!("usr{folder}"))
                .arg(folder),
            Err(_) => command.args(["--ro-bind-try", folder, folder]),
        };
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    command.arg("--ro-bind").arg(program()).arg("/baton");
    let root = bench.root();
    for (source, target, writable) in mounts(&service()) {
        let rest = source
            .strip_prefix("${REPO:?set REPO to the repository}")
            .unwrap();
        let source = format!("{}{rest}", root.display());
        let how = if writable { "--bind" } else { "--ro-bind" };
        command.args([how, &source, &target]);
    }
    command.args(["--remount-ro", "/", "--chdir", "/repo", "--"]);
    command.stdin(Stdio::null());
    command
}

#[test]
#[cfg(target_os = "linux")]
fn behind_its_mounts_the_worker_drafts_and_cannot_write_into_the_repository() {
    let bench = Bench::new();
    let script = "cat > /dev/null
for place in /repo/src/app.sh /repo/.autodev_ssot/POLICY.json /repo/.git/HEAD /repo/new /new; do
    if sh -c \"echo x >> $place\" 2> /dev/null; then echo \"wrote $place\" >&2; exit 9; fi
done
echo x > /tmp/kept || exit 8
cat <<'END'
---BEGIN_PATCH---
diff --git a/src/app.sh b/src/app.sh
--- a/src/app.sh
+++ b/src/app.sh
@@ -1 +1 @@
-echo 1
+echo 2
---END_PATCH---
END
";
    bench.policy(|policy| policy["draft"]["command"] = json!(["sh", "-c", script]));
    bench.submit("T-1", "src/**");
    bench
        .baton(["claim-lock", "--task", "T-1", "--owner", "worker@container"])
        .expect(0);
    let mut command = walled(&bench);
    command.args(["/baton", "worker", "--once", "--owner", "worker@container"]);
    let said = ran(command.output().unwrap());
    assert_eq!(said.expect(0)["drafted"], 1, "{said:?}");
    assert!(bench.task("claimed", "T-1/candidate.json").is_file());
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    // The walls are there: without them the same command is caught writing.
    let mut tries = walled(&bench);
    tries.args(["/bin/sh", "-c", "echo x > /repo/src/app.sh"]);
    assert!(!tries.output().unwrap().status.success());
    let done = bench.baton(["run", "T-1"]).expect(0);
    assert_eq!(done["task"]["state_after"], "pr", "{done}");
    bench.baton(["audit", "verify"]).expect(0);
}
