fn main() -> std::process::ExitCode {
    baton_core::driver::main(&claim_lock::SKILL, baton_risk::MASKER)
}
