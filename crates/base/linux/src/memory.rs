//! Memory that a process holds and does not need.

use std::fs;
use std::io;

/// Gives memory that malloc holds free back to the system.
pub fn trim_heap() {
    // SAFETY: malloc_trim only touches malloc's own state and takes its lock.
    unsafe { libc::malloc_trim(0) };
}

/// Forgets the pages of the program's own code that are mapped: what runs again is mapped again from the page cache, what
/// only the start needed is not.
///
/// # Errors
/// When the kernel does not tell what is mapped.
pub fn forget_code() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    for line in maps.lines() {
        let Some((range, path)) = code_range(line) else { continue };
        if program.as_os_str() == path {
            // SAFETY: the range is a private mapping of a file that is never written to (no `w`, and the program has no
            // text relocations), so the same bytes come back at the next touch.
            unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
        }
    }
    Ok(())
}

/// The range and the file of a line of `/proc/<pid>/maps` that is code (proc_pid_maps(5)).
fn code_range(line: &str) -> Option<(std::ops::Range<usize>, &str)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()? != "r-xp" {
        return None;
    }
    let path = fields.nth(3)?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(start)?..address(end)?, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_may_run_and_not_be_written() {
        for (line, expected) in [
            (
                "00c97000-03804000 r-xp 00a96000 fe:00 10076170   /usr/bin/minato",
                Some((0xc97000..0x3804000, "/usr/bin/minato")),
            ),
            ("00200000-00c97000 r--p 00000000 fe:00 10076170   /usr/bin/minato", None),
            ("03964000-03973000 rw-p 03761000 fe:00 10076170   /usr/bin/minato", None),
            ("7ffd0000-7ffd2000 r-xp 00000000 00:00 0          [vdso]", Some((0x7ffd_0000..0x7ffd_2000, "[vdso]"))),
            ("7ffd0000-7ffd2000 r-xp 00000000 00:00 0", None),
            ("", None),
        ] {
            assert_eq!(code_range(line), expected, "{line}");
        }
    }

    #[test]
    fn code_that_was_forgotten_runs_on() {
        forget_code().unwrap();
        assert_eq!("1,2,3".split(',').count(), 3);
    }
}
