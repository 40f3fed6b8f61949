//! The whole-process tests: every tool as its own program, on real repositories and real queues.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::type_complexity
)]

mod apart;
mod asked;
mod assault;
mod attacks;
mod audit_proofs;
mod audit_reading;
mod batch;
mod before;
mod beside;
mod bundles;
mod by_hand;
mod changes;
mod checkouts;
mod claims;
mod consent;
mod container;
mod cut_off;
mod dispatch;
mod docs;
mod envelopes;
mod fakes;
mod gates;
mod hostile;
mod judging;
mod kept;
mod keys;
mod kills;
mod landed;
mod landing;
mod late;
mod left_behind;
mod model_keys;
mod models;
mod moved;
mod namespaces;
mod orch;
mod people;
mod races;
mod red_base;
mod rehearsal;
mod replies;
mod reviews;
mod rights;
mod rollback;
mod scarce;
mod schemas;
mod secrets;
mod secrets_entrances;
mod secrets_gates;
mod secrets_tasks;
mod setting_up;
mod signing;
mod signing_keys;
mod skill_docs;
mod skill_install;
mod skill_pack;
mod stages;
mod strangers;
mod streams;
mod support;
mod tamper;
mod trusted;
mod walls;
mod watchdog;
mod wedges;
mod witnesses;
mod worker;
mod worker_grants;
