//! `posix_spawn` and `waitpid`: the cheapest way there is to run a command, and nothing around it.
//!
//! It is what everything else is compared with, so it takes nothing from the executor that it judges.
#![expect(unsafe_code, reason = "posix_spawn and waitpid have no safe interface")]

use std::ffi::CStr;
use std::{io, ptr};

/// Runs a program without arguments or environment and waits for its end.
///
/// # Errors
/// It cannot be started, or it does not exit with 0.
pub(crate) fn run(program: &CStr) -> io::Result<()> {
    let argv = [program.as_ptr().cast_mut(), ptr::null_mut()];
    let environment = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: both arrays end with a null, all pointers outlive the call, and null attributes mean the defaults.
    let failed = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            ptr::null(),
            ptr::null(),
            argv.as_ptr(),
            environment.as_ptr(),
        )
    };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    let mut status = 0;
    // SAFETY: the child is ours and nobody else waits for it; `status` outlives the call.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
        waited if waited == pid && status == 0 => Ok(()),
        waited if waited == pid => Err(io::Error::other(format!(
            "{program:?} ended with status {status}"
        ))),
        _ => Err(io::Error::last_os_error()),
    }
}
