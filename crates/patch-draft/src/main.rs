fn main() -> std::process::ExitCode {
    baton_core::driver::main(&patch_draft::SKILL, baton_risk::MASKER)
}
