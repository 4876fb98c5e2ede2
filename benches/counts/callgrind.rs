//! Runs a case under callgrind, and reads what callgrind wrote.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use transom::base::disk;

use super::cases;
use super::table::Counts;

/// Entering or leaving one of these begins or ends the counting (see `counted`).
const TOGGLES: [&str; 2] = ["*::counted_part", "*::left_out_p*"];
/// The ways to memory of the C library, which is below Rust's.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
/// Copies in the processor's own loop count as an instruction a byte, ten times what they cost: the C library is to write its loops itself.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_rep_stosb_threshold=0x40000000";

/// Counts one case.
///
/// # Errors
/// In the words of the operator.
pub fn count(name: &str) -> Result<Counts, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("counts");
    let failed = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    disk::create_dir_all(&directory).map_err(|error| failed(&error))?;
    let output = directory.join(format!("{name}.out"));
    let this = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--quiet", "--dump-instr=yes", "--compress-pos=no"])
        .args(TOGGLES.map(|function| format!("--toggle-collect={function}")));
    valgrind.arg(format!("--callgrind-out-file={}", output.display())).arg(this).args(["--case", name]);
    // What a shell happens to have set would move the stack, and may change what is logged.
    let path = std::env::var_os("PATH").unwrap_or_default();
    valgrind.env_clear().env("PATH", path).env("GLIBC_TUNABLES", TUNABLES).stdin(Stdio::null()).stdout(Stdio::null());
    let done = valgrind.output().map_err(|error| failed(&format!("valgrind cannot be run: {error}")))?;
    if !done.status.success() {
        return Err(failed(&format!("{}\n{}", done.status, String::from_utf8_lossy(&done.stderr))));
    }
    let text = disk::read_to_string(&output).map_err(|error| failed(&error))?;
    let (instructions, allocations) = read(&text).ok_or_else(|| failed(&format!("{} says no total", output.display())))?;
    let times = f64::from(cases::times(name));
    Ok(Counts { instructions: instructions / times, allocations: allocations / times })
}

/// Instructions and allocations of a profile. Calls are in it, too, but also those from where nothing is counted; what is counted of a function is its
/// instructions, and its first is done once a call.
fn read(profile: &str) -> Option<(f64, f64)> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut entries: HashMap<&str, (u64, f64)> = HashMap::new();
    let (mut function, mut total) = ("", None);
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = known(name, &mut names);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            known(name, &mut names);
        } else if line.starts_with("calls=") {
            // What the callee cost.
            lines.next();
        } else if let Some(number) = line.strip_prefix("totals: ") {
            total = number.trim().parse().ok();
        } else if let Some(costs) = line.strip_prefix("0x").filter(|_| ALLOCATORS.contains(&function)) {
            let mut costs = costs.split(' ');
            let address = u64::from_str_radix(costs.next()?, 16).ok()?;
            let count: f64 = costs.nth(1)?.parse().ok()?;
            let entry = entries.entry(function).or_insert((address, 0.0));
            match address.cmp(&entry.0) {
                Ordering::Less => *entry = (address, count),
                Ordering::Equal => entry.1 += count,
                Ordering::Greater => {}
            }
        }
    }
    Some((total?, entries.values().fold(0.0, |sum, (_, count)| sum + count)))
}

/// A name stands behind its number the first time only.
fn known<'p>(function: &'p str, names: &mut HashMap<&'p str, &'p str>) -> &'p str {
    let (number, name) = function.split_once(' ').unwrap_or((function, ""));
    names.entry(number).or_insert(name)
}
