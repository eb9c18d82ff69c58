//! Commands in running containers.

use std::time::{Duration, Instant};

use minato_runtime::{ExecRequest, Runtime as _, RuntimeError, TerminalSize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::cluster::{Cluster, shell};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn output_and_exit_codes_come_back() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let mut config = shell("sleep 1000");
    config.env = vec![("A".into(), "1".into())];
    let id = cluster.run(&sandbox, config).await;
    let long = Duration::from_secs(30);
    let script = "echo $A $FROM; pwd; echo err >&2; ls -d /proc/1; exit 5";
    let output = cluster.runtime.exec_sync(&id, words(&["sh", "-c", script]), long).await.unwrap();
    assert_eq!(output.exit_code, 5);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 image\n/tmp\n/proc/1\n");
    assert_eq!(output.stderr, b"err\n");
    let output = cluster.runtime.exec_sync(&id, words(&["sh", "-c", "kill -9 $$"]), long).await.unwrap();
    assert_eq!(output.exit_code, 137);
    for (command, code) in [("foo", 127), ("/bin/not-executable", 126)] {
        match cluster.runtime.exec_sync(&id, words(&[command]), long).await {
            Err(RuntimeError::Exec { exit_code, message }) => {
                assert_eq!(exit_code, code, "{message}");
                assert!(message.contains(command), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    cluster.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    let error = cluster.runtime.exec_sync(&id, words(&["true"]), long).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotRunning(_)), "{error}");
    cluster.finish().await;
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_its_children() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let id = cluster.run(&sandbox, shell("sleep 1000")).await;
    let before = cluster.runtime.cgroup(&id).unwrap().processes();
    let begun = Instant::now();
    let command = words(&["sh", "-c", "sleep 999 & sleep 998"]);
    let error = cluster.runtime.exec_sync(&id, command, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::ExecTimeout { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    crate::cluster::eventually("the children to die", || cluster.runtime.cgroup(&id).unwrap().processes() == before);
    cluster.finish().await;
}

#[tokio::test]
async fn streams_are_connected() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let id = cluster.run(&sandbox, shell("sleep 1000")).await;
    let request = ExecRequest { command: words(&["cat"]), stdin: true, stdout: true, ..Default::default() };
    let mut session = cluster.runtime.exec(&id, request).await.unwrap();
    assert!(session.stderr.is_none() && session.resizer.is_none());
    let bytes = vec![b'x'; 1 << 20];
    let (mut stdin, mut stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    let write = async {
        stdin.write_all(&bytes).await.unwrap();
        drop(stdin);
    };
    let mut back = Vec::new();
    let (_, read) = tokio::join!(write, stdout.read_to_end(&mut back));
    read.unwrap();
    assert_eq!(back.len(), bytes.len());
    assert_eq!(session.exit_code.await.unwrap(), 0);
    cluster.finish().await;
}

#[tokio::test]
async fn a_terminal_has_a_size() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let id = cluster.run(&sandbox, shell("sleep 1000")).await;
    let command = words(&["sh", "-c", "read line; echo got $line $TERM; stty size; exit 6"]);
    let request = ExecRequest { command, tty: true, stdin: true, stdout: true, stderr: true };
    let mut session = cluster.runtime.exec(&id, request).await.unwrap();
    session.resizer.as_ref().unwrap().resize(TerminalSize { columns: 90, rows: 30 }).unwrap();
    session.stdin.as_mut().unwrap().write_all(b"hello\n").await.unwrap();
    let mut text = String::new();
    session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.contains("got hello xterm") && text.contains("30 90"), "{text:?}");
    assert_eq!(session.exit_code.await.unwrap(), 6);
    cluster.finish().await;
}

#[tokio::test]
async fn many_commands_run_at_once() {
    let Some(cluster) = Cluster::start().await else { return };
    let sandbox = cluster.sandbox("p").await;
    let id = cluster.run(&sandbox, shell("sleep 1000")).await;
    let runs = (0..20)
        .map(|number| cluster.runtime.exec_sync(&id, words(&["echo", &number.to_string()]), Duration::from_secs(60)));
    for (number, output) in futures::future::join_all(runs).await.into_iter().enumerate() {
        assert_eq!(output.unwrap().stdout, format!("{number}\n").as_bytes());
    }
    cluster.finish().await;
}
