use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use minato_rules::{Action, Endpoint, Frontend, Protocol};

use super::*;

/// What a test's packet filter holds, and how often it still fails.
#[derive(Debug, Default)]
struct Kernel {
    elements: Elements,
    failures: usize,
    transactions: usize,
}

struct Memory(Arc<Mutex<Kernel>>);

impl PacketFilter for Memory {
    fn read(&mut self) -> Result<Elements, NftError> {
        Ok(self.0.lock().unwrap().elements.clone())
    }

    fn is_in_place(&mut self) -> Result<bool, NftError> {
        Ok(!self.0.lock().unwrap().elements.is_empty())
    }

    fn apply(&mut self, changes: &Changes) -> Result<(), NftError> {
        let mut kernel = self.0.lock().unwrap();
        kernel.transactions += 1;
        if kernel.failures > 0 {
            kernel.failures -= 1;
            // Somebody else emptied the table.
            kernel.elements = Elements::default();
            return Err(NftError::Exchange(io::Error::other("gone")));
        }
        kernel.elements.apply(changes);
        Ok(())
    }
}

fn key(name: &str) -> Owner {
    Owner::Service("default".into(), name.into())
}

fn rules(number: u8) -> ServiceRules {
    let frontend = Frontend { address: Ipv4Addr::new(10, 43, 0, number), protocol: Protocol::Tcp, port: 80 };
    let endpoints: BTreeSet<_> = [Endpoint { address: Ipv4Addr::new(10, 42, 0, number), port: 8080 }].into();
    let action = Action::Serve { endpoints, affinity_seconds: None };
    ServiceRules { frontends: [(frontend, action)].into(), ..ServiceRules::default() }
}

async fn start(kernel: &Arc<Mutex<Kernel>>) -> Programmer<Memory, impl Fn() -> Result<Memory, NftError> + use<>> {
    let kernel = Arc::clone(kernel);
    Programmer::start(move || Ok(Memory(Arc::clone(&kernel)))).await.unwrap()
}

#[tokio::test]
async fn a_restart_changes_only_what_differs() {
    let kernel = Arc::<Mutex<Kernel>>::default();
    let mut first = start(&kernel).await;
    for number in 1..=3 {
        first.set(&key(&number.to_string()), rules(number));
    }
    assert!(first.program().await);
    let before = kernel.lock().unwrap().elements.clone();
    assert_eq!(before.served.len(), 3);

    let mut second = start(&kernel).await;
    for number in 1..=3 {
        second.set(&key(&number.to_string()), rules(number));
    }
    assert!(second.program().await);
    assert_eq!(kernel.lock().unwrap().transactions, 1, "nothing had to change");

    let mut third = start(&kernel).await;
    third.set(&key("1"), rules(1));
    assert!(third.program().await);
    assert_eq!(kernel.lock().unwrap().elements.served.len(), 1, "Services that went meanwhile are gone");
}

#[tokio::test]
async fn after_a_failure_everything_is_looked_at_again() {
    let kernel = Arc::<Mutex<Kernel>>::default();
    let mut programmer = start(&kernel).await;
    programmer.set(&key("1"), rules(1));
    assert!(programmer.program().await);
    kernel.lock().unwrap().failures = 2;
    programmer.set(&key("2"), rules(2));
    assert!(!programmer.program().await);
    let wait = programmer.retry_after();
    assert!(!programmer.program().await);
    assert!(programmer.retry_after() > wait, "waits longer each time");
    assert!(programmer.program().await);
    assert_eq!(kernel.lock().unwrap().elements.served.len(), 2, "also what was programmed before");
    assert_eq!(programmer.retry_after(), RETRY_FIRST);
}

#[tokio::test]
async fn what_somebody_emptied_is_programmed_again() {
    let kernel = Arc::<Mutex<Kernel>>::default();
    let mut programmer = start(&kernel).await;
    programmer.set(&key("1"), rules(1));
    assert!(programmer.program().await);
    programmer.check();
    assert!(programmer.program().await);
    assert_eq!(kernel.lock().unwrap().transactions, 1, "nothing was missing");
    kernel.lock().unwrap().elements = Elements::default();
    programmer.check();
    assert!(programmer.program().await);
    assert_eq!(kernel.lock().unwrap().elements.served.len(), 1);
}
