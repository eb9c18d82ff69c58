//! Quantities as data.

use minato_quantity::{Format, ParseQuantityError, Quantity};
use proptest::prelude::*;

fn canonical(text: &str) -> String {
    Quantity::parse(text).map_or_else(|error| format!("error: {error}"), |quantity| quantity.to_string())
}

#[test]
fn canonical_forms() {
    for (text, expected) in [
        ("0", "0"),
        ("0m", "0"),
        ("0Ki", "0"),
        ("-0", "0"),
        ("+1", "1"),
        ("00012", "12"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1.G", "1G"),
        ("2.5", "2500m"),
        ("0.001", "1m"),
        ("0.0001", "100u"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("100e-3", "100e-3"),
        ("1000e-3", "1"),
        ("12e6", "12e6"),
        ("1e4", "10e3"),
        ("1k", "1k"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1000k", "1M"),
        ("5E", "5E"),
        ("1000E", "1e21"),
        ("1023", "1023"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.1Ki", "102400m"),
        ("1500Mi", "1500Mi"),
        ("-1Gi", "-1Gi"),
        ("1000Ki", "1000Ki"),
        ("129e6", "129e6"),
        ("123Mi", "123Mi"),
        ("8Ei", "9223372036854775807"),
        ("99999999999999999999Ei", "9223372036854775807"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn refusals() {
    use ParseQuantityError::{Format, Numeric, Suffix};
    for (text, expected) in [
        ("", Format),
        ("abc", Format),
        ("1.2.3", Format),
        ("1 Gi", Format),
        (" 1", Format),
        ("1foo", Format),
        ("--1", Suffix),
        ("1Gib", Format),
        ("1mi", Suffix),
        ("1ki", Suffix),
        ("1K", Suffix),
        ("1GiB", Format),
        ("1e", Suffix),
        ("1e+", Suffix),
        ("1m5", Suffix),
        (".", Numeric),
        ("-", Numeric),
        ("Ki", Numeric),
        ("é", Format),
    ] {
        assert_eq!(Quantity::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn amounts() {
    for (text, value, milli) in [
        ("1", 1, 1000),
        ("100m", 1, 100),
        ("1100m", 2, 1100),
        ("1u", 1, 1),
        ("-1100m", -2, -1100),
        ("1Ki", 1024, 1_024_000),
        ("8Ei", i64::MAX, i64::MAX),
        ("1e40", i64::MAX, i64::MAX),
        ("-1e40", i64::MIN, i64::MIN),
        ("0.0000000001", 1, 1),
    ] {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
    }
}

#[test]
fn sums_keep_the_left_notation() {
    let sum = |a: &str, b: &str| (Quantity::parse(a).unwrap() + Quantity::parse(b).unwrap()).to_string();
    assert_eq!(sum("1Gi", "1Gi"), "2Gi");
    assert_eq!(sum("0", "1Gi"), "1Gi");
    assert_eq!(sum("500m", "500m"), "1");
    assert_eq!((Quantity::parse("1").unwrap() - Quantity::parse("1500m").unwrap()).to_string(), "-500m");
    assert_eq!(Quantity::from_milli(1500).to_string(), "1500m");
    assert_eq!(Quantity::from_value(2048, Format::BinarySi).to_string(), "2Ki");
}

#[test]
fn order_and_equality_ignore_the_notation() {
    assert_eq!(Quantity::parse("1Gi").unwrap(), Quantity::parse("1073741824").unwrap());
    assert!(Quantity::parse("1G").unwrap() < Quantity::parse("1Gi").unwrap());
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn number_like_texts_round_trip(text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,30})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,3})?") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let shown = quantity.to_string();
            let again = Quantity::parse(&shown).unwrap();
            prop_assert_eq!(again.to_string(), shown);
            if quantity.nanos().abs() < i128::MAX / 10 {
                prop_assert_eq!(again, quantity);
            }
        }
    }
}
