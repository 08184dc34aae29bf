//! The program: everything is in the library.

fn main() -> std::process::ExitCode {
    tripline::cli::main(std::env::args().skip(1).collect())
}
