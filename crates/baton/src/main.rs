fn main() -> std::process::ExitCode {
    baton_sandbox::enter_if_called();
    baton::main(std::env::args_os().collect())
}
