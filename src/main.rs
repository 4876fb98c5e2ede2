//! Arguments → library → exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    transom::cli::run(std::env::args_os()).into()
}
