fn main() -> std::process::ExitCode {
    baton_core::driver::main(&incident_brief::SKILL, baton_risk::MASKER)
}
