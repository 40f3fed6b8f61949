fn main() -> std::process::ExitCode {
    baton_core::driver::main(&decision_router::SKILL, baton_risk::MASKER)
}
