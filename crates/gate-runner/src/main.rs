fn main() -> std::process::ExitCode {
    baton_core::driver::main(&gate_runner::SKILL)
}
