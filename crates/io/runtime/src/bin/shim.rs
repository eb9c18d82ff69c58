//! The shim alone, as the runtime's own tests and its benchmark use it. The product is one binary: `minato shim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    minato_runtime::shim::main(std::env::args_os().skip(2))
}
