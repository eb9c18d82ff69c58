//! How much of the resolver each client may occupy: whoever takes too much leaves room for the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A number of places, for all clients together and for each.
#[derive(Debug)]
pub(crate) struct Guests {
    places: usize,
    places_each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A taken place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    guests: Arc<Guests>,
    client: IpAddr,
}

impl Guests {
    pub(crate) fn new(places: usize, places_each: usize) -> Arc<Self> {
        Arc::new(Self { places, places_each, taken: Mutex::default() })
    }

    /// A place for a client, if there is one.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (taken.values().sum::<usize>(), taken.get(&client).copied().unwrap_or(0));
        if all >= self.places || own >= self.places_each {
            return None;
        }
        taken.insert(client, own + 1);
        Some(Place { guests: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.guests.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places() {
        let guests = Guests::new(3, 2);
        let [greedy, modest] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        let first = guests.take(greedy).unwrap();
        let _second = guests.take(greedy).unwrap();
        assert!(guests.take(greedy).is_none());
        let _third = guests.take(modest).unwrap();
        assert!(guests.take(modest).is_none());
        drop(first);
        assert!(guests.take(modest).is_some());
    }
}
