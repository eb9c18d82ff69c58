//! Options of the form `--name=value` or `--name value`, each with a default.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The options of a program by name.
#[derive(Debug)]
pub struct Options {
    values: BTreeMap<String, String>,
}

/// What is wrong with the command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such option.
    #[error("unknown option {0}; there are {1}")]
    Unknown(String, String),
    /// An option at the end of the line.
    #[error("option --{0} needs a value")]
    NoValue(String),
    /// A value that cannot be understood.
    #[error("option --{name} cannot be {value:?}")]
    Invalid {
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
}

impl Options {
    /// Reads the arguments; `defaults` lists every option.
    ///
    /// # Errors
    /// If an argument is no option, or has no value.
    pub fn read(arguments: impl IntoIterator<Item = String>, defaults: &[(&str, &str)]) -> Result<Self, UsageError> {
        let mut values: BTreeMap<String, String> =
            defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let known = || values.keys().map(|name| format!("--{name}")).collect::<Vec<_>>().join(", ");
            let unknown = || UsageError::Unknown(argument.clone(), known());
            let option = argument.strip_prefix("--").ok_or_else(unknown)?;
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            if !values.contains_key(name) {
                return Err(unknown());
            }
            let value = value.or_else(|| arguments.next()).ok_or_else(|| UsageError::NoValue(name.to_owned()))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self { values })
    }

    /// The value of an option.
    ///
    /// # Errors
    /// If it is not of the type that is asked for.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T, UsageError> {
        let value = self.values.get(name).map(String::as_str).unwrap_or_default();
        value.parse().map_err(|_| UsageError::Invalid { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let read = |line: &str| Options::read(line.split_whitespace().map(str::to_owned), &[("a", "1"), ("b", "x")]);
        let options = read("--a=2 --b y").unwrap();
        assert_eq!((options.get::<u8>("a"), options.get::<String>("b")), (Ok(2), Ok("y".to_owned())));
        assert_eq!(read("").unwrap().get::<u8>("a"), Ok(1));
        assert!(read("--a=z").unwrap().get::<u8>("a").is_err());
        assert_eq!(read("--c=1").unwrap_err().to_string(), "unknown option --c=1; there are --a, --b");
        assert_eq!(read("--a").unwrap_err().to_string(), "option --a needs a value");
        assert!(read("a").is_err());
    }
}
