fn main() -> std::process::ExitCode {
    baton_sandbox::enter_if_called();
    baton_core::driver::main(&gate_runner::SKILL, baton_risk::MASKER)
}
