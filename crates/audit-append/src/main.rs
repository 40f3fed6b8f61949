fn main() -> std::process::ExitCode {
    baton_core::driver::main(&audit_append::SKILL, baton_risk::MASKER)
}
