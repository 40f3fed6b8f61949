fn main() -> std::process::ExitCode {
    baton_core::driver::main(&diff_risk_scan::SKILL, baton_risk::MASKER)
}
