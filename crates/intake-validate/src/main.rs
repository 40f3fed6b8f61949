fn main() -> std::process::ExitCode {
    baton_core::driver::main(&intake_validate::SKILL, baton_risk::MASKER)
}
