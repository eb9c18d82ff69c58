//! Prints how long sandboxes and containers take to start, and what a shim costs in memory.
//!
//! `cargo run --release -p minato-runtime --example startup -- <docker-archive of busybox> [path of a minato binary]`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use minato_images::Store;
use minato_runtime::{Config, ContainerConfig, ContainerState, Embedded, Runtime as _, SandboxConfig, teardown};

const ROUNDS: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("shim") {
        let code = minato_runtime::shim::main(std::env::args_os().skip(2));
        std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 1 });
    }
    let archive = std::env::args().nth(1).ok_or("which image?")?;
    tokio::runtime::Runtime::new()?.block_on(measure(archive.into()))
}

async fn measure(archive: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("minato-startup-{}", std::process::id()));
    let images = Store::open(directory.join("images"))?;
    let begun = Instant::now();
    let image = images.import(&archive)?.remove(0);
    println!("import                 {:>8.2} ms", milliseconds(begun.elapsed()));
    let mut config = Config::new(format!("{:08x}", std::process::id()), directory.join("node"), images);
    if let Some(shim) = std::env::args().nth(2) {
        config.shim = shim.into();
    }
    let runtime = Embedded::open(config.clone()).await?;
    let (mut sandboxes, mut creates, mut starts, mut execs, mut exits) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let sandbox = SandboxConfig {
            uid: format!("pod-{round}"),
            hostname: "bench".into(),
            cgroup_parent: format!("{}/pod-{round}", config.cgroup_root()),
            log_directory: directory.join("logs"),
            ..Default::default()
        };
        let begun = Instant::now();
        let sandbox = runtime.run_sandbox(sandbox).await?.id;
        sandboxes.push(begun.elapsed());
        let container = ContainerConfig {
            name: "c".into(),
            image: image.digest.clone(),
            command: vec!["/bin/sleep".into(), "1000".into()],
            log_path: format!("{round}.log").into(),
            ..Default::default()
        };
        let begun = Instant::now();
        let id = runtime.create_container(&sandbox, container).await?;
        creates.push(begun.elapsed());
        let begun = Instant::now();
        runtime.start_container(&id).await?;
        starts.push(begun.elapsed());
        let begun = Instant::now();
        runtime.exec_sync(&id, vec!["/bin/true".into()], Duration::from_secs(10)).await?;
        execs.push(begun.elapsed());
        if round == ROUNDS - 1 {
            print_memory(&runtime, &id).await?;
        }
        let begun = Instant::now();
        runtime.stop_container(&id, Duration::ZERO).await?;
        exits.push(begun.elapsed());
        runtime.remove_sandbox(&sandbox).await?;
    }
    for (what, mut times) in [
        ("run_sandbox", sandboxes),
        ("create_container", creates),
        ("start_container", starts),
        ("exec_sync true", execs),
        ("kill to known exit", exits),
    ] {
        times.sort();
        let (median, p90) = (times[ROUNDS / 2], times[ROUNDS * 9 / 10]);
        println!("{what:<22} {:>8.2} ms   p90 {:>8.2} ms", milliseconds(median), milliseconds(p90));
    }
    drop(runtime);
    teardown(&config)?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

async fn print_memory(runtime: &Embedded, id: &minato_runtime::ContainerId) -> Result<(), Box<dyn std::error::Error>> {
    let ContainerState::Running { pid, .. } = runtime.container(id).await?.state else { return Ok(()) };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
    let rollup = std::fs::read_to_string(format!("/proc/{parent}/smaps_rollup"))?;
    for field in ["Rss:", "Pss:", "Private_Clean:", "Private_Dirty:"] {
        let line = rollup.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        println!("shim {field:<17} {line}");
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
