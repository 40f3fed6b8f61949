fn main() -> std::process::ExitCode {
    baton_core::driver::main(&pr_merge_orchestrator::SKILL, baton_risk::MASKER)
}
