//! The `falco` executable; everything is in the library.

fn main() -> std::process::ExitCode {
    falco::cli::main()
}
