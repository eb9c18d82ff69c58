//! Finds the resolver that runs, or starts one, and tells it what the API says.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use minato_linux::cgroup::Hierarchies;
use minato_linux::process::PidFd;
use minato_scope::Scope;
use tokio::process::Command;

use crate::protocol::{Buffer, Link, Order, PROTOCOL, Settings, Word};
use crate::sockets::Sockets;
use crate::source::Source;

/// How long a resolver may take to take or to say something: it does nothing else that lasts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a retired resolver may still give answers.
const RETIREMENT_MAX: Duration = Duration::from_secs(40);
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// A resolver that ends sooner is started again with a pause, that doubles each time.
const LIFE_MIN: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Where the resolver lives and what it is for.
pub(crate) struct Supervisor {
    /// It has the resolver's socket and log.
    pub(crate) directory: PathBuf,
    /// Nothing else is in it.
    pub(crate) cgroup: String,
    /// The program that is run as `<program> resolver …`.
    pub(crate) program: PathBuf,
    pub(crate) settings: Settings,
}

/// A resolver that runs.
pub(crate) struct Resolver {
    /// Copies: whatever becomes of the process, questions wait in them.
    pub(crate) sockets: Sockets,
    link: Link,
    /// The one before, until this one answers.
    former: Option<Former>,
}

struct Former {
    link: Link,
    process: PidFd,
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    #[error("failed to prepare {}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("failed to bind a DNS port on {ip}")]
    Bind { ip: Ipv4Addr, source: io::Error },
    #[error("failed to start the resolver")]
    Start(#[source] io::Error),
    #[error("failed to end the resolvers of cgroup {cgroup}")]
    End { cgroup: String, source: io::Error },
}

/// What the resolver that was found is like.
enum Found {
    /// It is what this server would start.
    Same(Resolver),
    /// It does its work, but another program or other settings are wanted.
    Other(Former, Sockets),
    None,
}

impl Supervisor {
    /// The resolver that runs, if it is of this program and these settings, else a new one: on the same sockets if they
    /// are of `ip`, else on some port of `ip`, on `port` if that is free.
    pub(crate) async fn find_or_start(&self, ip: Ipv4Addr, port: u16) -> Result<Resolver, SuperviseError> {
        let directory = |source| SuperviseError::Directory { directory: self.directory.clone(), source };
        std::fs::create_dir_all(&self.directory).map_err(directory)?;
        let bind = |port| Sockets::bind(ip, port).map_err(|source| SuperviseError::Bind { ip, source });
        match self.find().await {
            Found::Same(resolver) if resolver.sockets.address.ip() == ip => Ok(resolver),
            Found::Other(former, sockets) if sockets.address.ip() == ip => {
                tracing::info!("replacing the resolver of another server");
                self.start(sockets, Some(former)).await
            }
            _ => {
                self.end_all().await?;
                self.start(bind(port)?, None).await
            }
        }
    }

    async fn find(&self) -> Found {
        let Ok(link) = Link::connect(&self.directory) else { return Found::None };
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, async {
            link.send(&Order::Hello, &[]).await?;
            link.receive::<Word>(&mut Buffer::new()).await
        });
        let Ok(Ok(Some((Word::Here { protocol, settings }, descriptors)))) = asked.await else { return Found::None };
        let (Ok(sockets), Ok((pid, _))) = (Sockets::received(descriptors), link.peer()) else { return Found::None };
        let Ok(process) = PidFd::open(pid) else { return Found::None };
        // While it has not hung up, the number is its own.
        let same_program = self.is_program(pid);
        match protocol == PROTOCOL && settings == self.settings && same_program {
            true => Found::Same(Resolver { sockets, link, former: None }),
            false => Found::Other(Former { link, process }, sockets),
        }
    }

    /// Whether a process runs the very file that we would start.
    fn is_program(&self, pid: i32) -> bool {
        let file = |path: PathBuf| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        let (theirs, ours) = (file(format!("/proc/{pid}/exe").into()), file(self.program.clone()));
        theirs.is_ok_and(|theirs| ours.is_ok_and(|ours| theirs == ours))
    }

    async fn start(&self, sockets: Sockets, former: Option<Former>) -> Result<Resolver, SuperviseError> {
        let start = async {
            let (link, theirs) = Link::pair()?;
            let log = std::fs::File::options().create(true).append(true).open(self.directory.join("resolver.log"))?;
            let child = Command::new(&self.program)
                .arg0("minato")
                .args(["resolver".as_ref(), self.directory.as_os_str(), self.cgroup.as_ref()])
                .env_clear()
                .stdin(Stdio::from(theirs))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?;
            // Dropped here: the process goes on, and tokio takes its exit status.
            drop(child);
            link.send(&Order::Serve(self.settings.clone()), &sockets.descriptors()).await?;
            io::Result::Ok(link)
        };
        let link = start.await.map_err(SuperviseError::Start)?;
        Ok(Resolver { sockets, link, former })
    }

    /// Ends whatever resolvers of this cluster there are; they cannot be talked to.
    async fn end_all(&self) -> Result<(), SuperviseError> {
        let cgroup = self.cgroup.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let hierarchies = Hierarchies::detect().map_err(io::Error::other)?;
            hierarchies.group(&cgroup).kill(KILL_TIMEOUT)
        });
        let ended = ended.await.map_err(io::Error::other).flatten();
        ended.map_err(|source| SuperviseError::End { cgroup: self.cgroup.clone(), source })
    }

    /// Tells the resolver what is so, and puts another in its place whenever it ends. Never ends.
    pub(crate) async fn keep(&self, mut resolver: Resolver, source: &Source, scope: &Scope) {
        let mut pause = PAUSE_FIRST;
        loop {
            let since = Instant::now();
            let Err(reason) = resolver.feed(source, scope).await;
            tracing::warn!(%reason, "the DNS resolver ended; starting another");
            if since.elapsed() > LIFE_MIN {
                pause = PAUSE_FIRST;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            resolver = loop {
                let started = async {
                    self.end_all().await?;
                    let sockets = resolver.sockets.try_clone().map_err(SuperviseError::Start)?;
                    self.start(sockets, None).await
                };
                match started.await {
                    Ok(started) => break started,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "no DNS resolver; trying again");
                        tokio::time::sleep(PAUSE_MAX).await;
                    }
                }
            };
        }
    }
}

impl Resolver {
    /// Tells everything, then what is new, until the resolver is gone.
    async fn feed(&mut self, source: &Source, scope: &Scope) -> io::Result<std::convert::Infallible> {
        let everything = source.everything().await;
        self.tell(&Order::Begin).await?;
        for change in everything {
            self.tell(&Order::Change(change)).await?;
        }
        self.tell(&Order::Commit).await?;
        let mut buffer = Buffer::new();
        match tokio::time::timeout(ANSWER_TIMEOUT, self.link.receive::<Word>(&mut buffer)).await? {
            Ok(Some((Word::Serving, _))) => {}
            Ok(Some(_)) => return Err(io::ErrorKind::InvalidData.into()),
            Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(error),
        }
        if let Some(former) = self.former.take() {
            scope.spawn("retirement", former.retire());
        }
        loop {
            let news = tokio::select! {
                news = source.news() => news,
                said = self.link.receive::<Word>(&mut buffer) => match said? {
                    Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
            };
            for change in news {
                self.tell(&Order::Change(change)).await?;
            }
        }
    }

    async fn tell(&self, order: &Order) -> io::Result<()> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.link.send(order, &[])).await? {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                tracing::error!(%error, "an object has too many names for DNS");
                Ok(())
            }
            told => told,
        }
    }
}

impl Former {
    /// Lets it give its last answers, and sees to it that it ends.
    async fn retire(self) {
        let told = self.link.send(&Order::Retire, &[]).await;
        let gone = async {
            let mut buffer = Buffer::new();
            while let Ok(Some(_)) = self.link.receive::<Word>(&mut buffer).await {}
        };
        if told.is_err() || tokio::time::timeout(RETIREMENT_MAX, gone).await.is_err() {
            let _ = self.process.signal(nix::libc::SIGKILL);
        }
    }
}
