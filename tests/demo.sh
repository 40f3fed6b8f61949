#!/usr/bin/env bash
# Shows the whole way on a real repository in a scratch folder. With REPO and PATCH it takes a copy of
# that repository and that patch instead. Needs bash, git and a Rust toolchain; touches nothing else.
set -euo pipefail

bin=${BATON_BIN:?the folder with the built programs}
export PATH="$bin:$PATH"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/baton-demo.XXXXXX")
if [ -z "${KEEP:-}" ]; then trap 'rm -rf "$scratch"' EXIT; fi

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
# Shows a command, runs it, keeps its JSON aside: the sentences on standard error are for people.
show() { printf '\n$'; printf ' %q' "$@"; printf '\n'; "$@" >"$scratch/last.json" </dev/null || note "(exit code $?)"; }

new_repository() {
  git init -q -b main "$scratch/repo"
  cd "$scratch/repo"
  git config user.name 'Demo Operator'
  git config user.email operator@demo.example
  mkdir src
  printf '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n' >Cargo.toml
  printf '# shop\n' >README.md
  printf 'target\n' >.gitignore
  cat >src/lib.rs <<'RUST'
pub fn total(prices: &[u32]) -> u32 {
    prices.iter().product()
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_costs_nothing() {
        assert_eq!(super::total(&[0]), 0);
    }
}
RUST
  cargo generate-lockfile --offline --quiet
  git add -A
  git commit -q -m 'a shop that multiplies its prices'
}

# Turns what is edited now into a patch file, and takes the edit back.
patch_of() {
  git add -A
  git diff --cached --binary >"$scratch/$1"
  git reset -q --hard
}

set_up() {
  show baton init
  note 'Gates run behind walls (isolation I3). Where this machine cannot build them, gates are not run and'
  note 'every change goes to a person; baton doctor says why.'
  git add -A
  git commit -q -m 'baton: single source of truth'
}

own_repository() {
  git clone -q --no-hardlinks "$1" "$scratch/repo"
  local patch
  patch=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
  cd "$scratch/repo"
  git config user.name >/dev/null || git config user.name 'Demo Operator'
  git config user.email >/dev/null || git config user.email operator@demo.example
  say "Your repository (a copy in $scratch/repo) and your patch"
  set_up
  show baton submit --id YOURS --title 'Your change' --goal 'Take the patch the whole way' --allow '**'
  show baton run YOURS --from "$patch"
  show baton status
  if [ -d .autodev_queue/pr/YOURS ]; then
    show baton approve YOURS
    show baton run YOURS
    git --no-pager log --oneline --all -3
  fi
  show baton show YOURS
  show baton audit verify
}

if [ -n "${REPO:-}" ] || [ -n "${PATCH:-}" ]; then
  own_repository "${REPO:?REPO=path names the repository}" "${PATCH:?PATCH=file names the patch}"
  exit 0
fi

say 'A small repository with a bug: it multiplies prices instead of adding them'
new_repository
git --no-pager log --oneline
set_up

say '1. A good change lands, but only after a person approved exactly it'
sed -i 's/product()/sum()/; s/nothing_costs_nothing() {/prices_are_added() {\n        assert_eq!(super::total(\&[2, 3]), 5);\n    }\n\n    #[test]\n    fn nothing_costs_nothing() {/' src/lib.rs
patch_of good.patch
show baton submit --id T-1 --title 'Add the prices' --goal 'total() must add' --allow 'src/**'
note 'The steps as a shell chain, each tool its own program. The agent (openclaw) only proposes; the'
note 'control plane (cursor) does the rest.'
printf '\n$ %s\n' 'claim-lock --next | intake-validate | patch-draft --actor openclaw --from good.patch | diff-risk-scan | gate-runner | decision-router | audit-append'
export BATON_ACTOR=cursor
claim-lock -v --next | intake-validate -v | patch-draft -v --actor openclaw --from "$scratch/good.patch" \
  | diff-risk-scan -v | gate-runner -v | decision-router -v | audit-append -v >"$scratch/last.json"
unset BATON_ACTOR
show baton status
show baton approve T-1
show baton run T-1
git --no-pager log -1 --format='%h %an, committed by %cn%n%n%B'
show baton verify T-1

say '2. A change to the lockfile may only become a branch that people review'
sed -i 's/^version = "0.1.0"/version = "0.2.0"/' Cargo.toml Cargo.lock
patch_of lock.patch
show baton submit --id T-2 --title 'Raise the version' --goal 'Version 0.2.0' --allow Cargo.toml --allow Cargo.lock
show baton run T-2 --from "$scratch/lock.patch"

say '3. A change outside its task is stopped'
printf 'free money\n' >>README.md
patch_of outside.patch
show baton submit --id T-3 --title 'Tidy the source' --goal 'Tidy src' --allow 'src/**'
show baton run T-3 --from "$scratch/outside.patch"

say '4. STOP cuts off what is running'
printf '\n#[test]\nfn slow() {\n    std::thread::sleep(std::time::Duration::from_secs(60));\n}\n' >>src/lib.rs
patch_of slow.patch
show baton submit --id T-4 --title 'A slow test' --goal 'Be slow' --allow 'src/**'
printf '\n$ baton run T-4 --from slow.patch &\n'
baton run T-4 --from "$scratch/slow.patch" >"$scratch/stopped.json" &
run=$!
until [ -f .autodev_queue/work/T-4/evidence/G4.json ] || ! kill -0 "$run" 2>/dev/null; do sleep 0.1; done
sleep 1
show baton stop --reason 'the operator wants quiet'
started=$(date +%s)
wait "$run" || note "(exit code $?)"
note "The run ended $(($(date +%s) - started)) seconds after STOP."
show baton resume --reason 'all clear'

say 'Where everything stands now'
show baton status
say 'What happened to T-1, line by line'
baton show T-1 2>&1 >/dev/null | sed -n '/^timeline/,$p'
say 'The record'
show baton audit summary
show baton audit verify
say 'T-1 landed, T-2 waits for a person, T-3 and T-4 are blocked with an incident. Nothing else changed.'
