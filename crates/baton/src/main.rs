fn main() -> std::process::ExitCode {
    baton::main(std::env::args_os().collect())
}
