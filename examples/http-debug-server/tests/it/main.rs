//! The real process, asked to misbehave and to stop.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn ask(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nx-test: yes\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn tells_misbehaves_and_drains() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_http-debug-server"))
        .args(["--listen", "127.0.0.1:0", "--linger-ms", "200"])
        .env("GREETING", "hello")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap().strip_prefix("listening on ").unwrap().to_owned();

    let answer = ask(&address, "GET", "/some/path?a=b");
    for part in [
        "\"hostname\":",
        "\"x-test\":[\"yes\"]",
        "\"GREETING\":\"hello\"",
        "\"path\":\"/some/path\"",
        "\"client\":\"127.0.0.1:",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert!(ask(&address, "GET", "/healthz").contains("200 OK"));
    ask(&address, "POST", "/healthz?ok=false");
    assert!(ask(&address, "GET", "/healthz").contains("503"));
    assert!(ask(&address, "GET", "/readyz").contains("200 OK"));
    assert!(ask(&address, "GET", "/memory?bytes=1000").contains("holding 1000 bytes"));
    ask(&address, "GET", "/log?line=written&count=2");
    assert_eq!(lines.by_ref().take(2).map(Result::unwrap).collect::<Vec<_>>(), ["written", "written"]);

    // A request under way when the process is told to stop is answered.
    let slow = std::thread::spawn({
        let address = address.clone();
        move || ask(&address, "GET", "/slow?ms=1000")
    });
    // The server takes connections in order: once this is answered, the slow request is under way or will be.
    ask(&address, "GET", "/hostname");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(slow.join().unwrap().contains("slept 1s"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
