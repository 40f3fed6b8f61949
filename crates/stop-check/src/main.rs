fn main() -> std::process::ExitCode {
    baton_core::driver::main(&stop_check::SKILL, baton_risk::MASKER)
}
