//! What is refused before anything is done: results after a decision, patches that are not there, words of a
//! person that change nothing, plans that could not be carried out.

use serde_json::{Value, json};

use crate::support::Bench;

fn fix(bench: &Bench) -> String {
    let text = bench.patch(|root| std::fs::write(root.join("src/app.sh"), "echo 2\n").unwrap());
    let path = bench.patch_file("fix.patch", &text);
    path.to_str().unwrap().to_owned()
}

fn said(json: &Value, field: &str) -> String {
    json[field].to_string()
}

#[test]
fn what_is_decided_on_is_not_looked_at_again() {
    let bench = Bench::new();
    bench.waiting("T-1");
    let tools = ["diff-risk-scan", "gate-runner"];
    for tool in tools {
        let refused = bench.baton([tool, "--task", "T-1"]).expect(1);
        assert_eq!(refused["findings"][0]["code"], "STATE_RULE", "{refused}");
    }
    bench.baton(["approve", "T-1"]).expect(0);
    bench.baton(["run", "T-1"]).expect(0);
    bench.baton(["verify", "T-1"]).expect(0);
    for tool in tools {
        for plan in [&[][..], &["--plan"]] {
            let line = [&[tool, "--task", "T-1"], plan].concat();
            let refused = bench.baton(line).expect(4);
            assert_eq!(refused["findings"][0]["code"], "STATE_RULE", "{refused}");
        }
    }
    bench.baton(["verify", "T-1"]).expect(0);
}
