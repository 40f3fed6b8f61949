fn main() -> std::process::ExitCode {
    baton_core::driver::main(&queue_scan::SKILL, baton_risk::MASKER)
}
