//! Arguments → library → exit status.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A message takes some forty allocations, and this allocator half the C library's time for each.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    transom::cli::run(std::env::args_os()).into()
}
