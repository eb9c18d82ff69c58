//! The real processes: a leader, two replicas and a page, on ports of the system's choice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guestbook"));
        command.args(arguments).args(["--listen=127.0.0.1:0", "--linger-ms=0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned)).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The answer, head and body, of one request.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn wait_for(&self, path: &str, expected: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.ask("GET", path, "");
            if answer.contains(expected) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} never contained {expected:?}: {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks to stop; the exit code.
    fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn leader(data: &Path, replicas: &str) -> Process {
    Process::start(&["store", "--data", data.to_str().unwrap(), "--replicas", replicas])
}

#[test]
fn messages_reach_the_page_and_outlive_processes() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("one");
    let first = leader(&data, "");
    let replica = Process::start(&["store", "--leader", &first.url()]);
    let web = Process::start(&["web", "--leader", &first.url(), "--replicas", &replica.url()]);
    replica.wait_for("/readyz", "200 OK");
    assert!(web.ask("GET", "/", "").contains("Nobody has written yet."));

    let answer = web.ask("POST", "/", "author=Ann&text=%3Cb%3Ehello%3C%2Fb%3E");
    assert!(answer.contains("303 See Other") && answer.contains("/?seen=1"), "{answer}");
    let page = web.ask("GET", "/?seen=1", "");
    assert!(page.contains("Ann") && page.contains("&lt;b&gt;hello&lt;/b&gt;"), "{page}");
    assert!(web.ask("POST", "/", "author=Ann&text=").contains("422"), "an empty message");
    assert!(replica.ask("POST", "/messages", "{}").contains("405"), "replicas do not write");

    // The same file, another process.
    assert_eq!(first.terminate(), Some(0));
    let second = leader(&data, "");
    assert!(second.ask("GET", "/messages", "").contains("hello"));

    // No file, but a replica that remembers.
    let heir = leader(&directory.path().join("two"), &replica.url());
    assert!(heir.ask("GET", "/messages", "").contains("hello"));
    assert!(heir.ask("POST", "/messages", r#"{"author":"Bob","text":"hi"}"#).contains("\"number\":2"));

    // The page bears the loss of its store.
    assert_eq!(replica.terminate(), Some(0));
    assert!(web.ask("GET", "/", "").contains("502"));
    assert_eq!(web.terminate(), Some(0));
}
