//! What is simulated.

use std::time::Duration;

use minato_quantity::Quantity;

/// The nodes, and how they behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many nodes.
    pub count: usize,
    /// What their names begin with; numbers follow.
    pub name_prefix: String,
    /// Processors of each.
    pub cpu: String,
    /// Memory of each.
    pub memory: String,
    /// Most pods on each.
    pub max_pods: u32,
    /// The nodes are spread over so many zones; 0 is no zone.
    pub zones: usize,
    /// How long a pod takes from its binding until it runs, give or take a half.
    pub start_delay: Duration,
    /// How long a pod takes to end once it is told to.
    pub stop_delay: Duration,
    /// How long the pods of Jobs run.
    pub job_duration: Duration,
    /// How often leases are renewed.
    pub lease_interval: Duration,
    /// Requests under way at the same time.
    pub concurrency: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            count: 1,
            name_prefix: "simulated-".to_owned(),
            cpu: "16".to_owned(),
            memory: "64Gi".to_owned(),
            max_pods: 110,
            zones: 3,
            start_delay: Duration::from_secs(1),
            stop_delay: Duration::from_millis(200),
            job_duration: Duration::from_secs(5),
            lease_interval: Duration::from_secs(10),
            concurrency: 64,
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// More nodes than names have digits for.
    #[error("at most {max} nodes can be simulated at once")]
    TooMany {
        /// The most.
        max: usize,
    },
    /// Not a quantity.
    #[error("{what}: {text:?} is not an amount")]
    Quantity {
        /// Of what.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// A name that no node can have.
    #[error("names of nodes cannot begin with {0:?}: lower case letters, digits, '-' and '.', a letter or digit first")]
    Prefix(String),
}

/// Names have five digits.
const NODES_MAX: usize = 99_999;
const PREFIX_MAX: usize = 200;

impl Config {
    /// Checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.count > NODES_MAX {
            return Err(ConfigError::TooMany { max: NODES_MAX });
        }
        for (what, text) in [("cpu", &self.cpu), ("memory", &self.memory)] {
            if !Quantity::parse(text).is_ok_and(|quantity| quantity.signum() > 0) {
                return Err(ConfigError::Quantity { what, text: text.clone() });
            }
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let prefix = self.name_prefix.as_bytes();
        let good = prefix.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'.'));
        if !good || prefix.len() > PREFIX_MAX || prefix.first().is_some_and(|byte| !plain(*byte)) {
            return Err(ConfigError::Prefix(self.name_prefix.clone()));
        }
        Ok(())
    }

    /// The name of a node, by its number from 1 on.
    #[must_use]
    pub fn node_name(&self, number: usize) -> String {
        format!("{}{number:05}", self.name_prefix)
    }

    /// The number of a node, if it is one of these.
    #[must_use]
    pub fn number_of(&self, node_name: &str) -> Option<usize> {
        let digits = node_name.strip_prefix(&self.name_prefix)?;
        let number = digits.parse().ok().filter(|_| digits.len() == 5)?;
        (1..=self.count).contains(&number).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let config = Config { count: 12, ..Config::default() };
        assert_eq!(config.node_name(7), "simulated-00007");
        for (name, expected) in [
            ("simulated-00007", Some(7)),
            ("simulated-00013", None),
            ("simulated-00000", None),
            ("simulated-7", None),
            ("other-00007", None),
        ] {
            assert_eq!(config.number_of(name), expected, "{name}");
        }
    }

    #[test]
    fn wrong_configurations() {
        let check = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(
            check(|config| config.count = 100_000),
            Err("at most 99999 nodes can be simulated at once".to_owned())
        );
        assert_eq!(check(|config| config.cpu = "many".to_owned()), Err("cpu: \"many\" is not an amount".to_owned()));
        assert!(check(|config| config.memory = "-1".to_owned()).is_err());
        assert!(check(|config| config.name_prefix = "Upper-".to_owned()).is_err());
    }
}
