use minato_cel::{Budget, Environment, EvalError, Type, Value, compile};
use serde_json::json;

/// What an expression costs and what it may cost at most, for lists of up to 100 items and texts of up to 50 characters.
fn costs(source: &str) -> (u64, u64) {
    let environment = Environment::new().with("self", Type::Dyn);
    let program = compile(&environment, source).unwrap();
    let object = json!({"list": (0..100).collect::<Vec<_>>(), "text": "a".repeat(50), "number": 1});
    let mut budget = Budget::new(1_000_000_000);
    program.evaluate(&[Value::of(&object)], &mut budget).unwrap();
    let sizes = |path: &[&str]| match path {
        ["self", "list"] => Some(100),
        ["self", "text"] => Some(50),
        _ => Some(1),
    };
    (1_000_000_000 - budget.left(), program.estimated_cost(&sizes))
}

#[test]
fn the_estimate_is_an_upper_bound() {
    for source in [
        "self.number == 1",
        "self.text.startsWith('abc')",
        "self.text.matches('^a+$')",
        "self.text + self.text == 'b'",
        "self.text.contains('bcd')",
        "self.list.all(x, x >= 0)",
        "self.list.map(x, x + 1).filter(x, x > 3).size() > 1",
        "self.list.all(x, self.list.exists(y, y == x))",
        "5 in self.list",
        "sets.contains(self.list, [1, 2])",
        "self.text.split('').join('-').size() > 2",
        "{'a': self.number, 'b': 2}.all(k, k != '')",
        "self.number > 0 ? self.text == 'x' : self.list == []",
    ] {
        let (spent, estimated) = costs(source);
        assert!(spent <= estimated, "{source}: spent {spent}, estimated {estimated}");
        assert!(estimated < 1_000_000, "{source}: estimated {estimated}");
    }
}

#[test]
fn what_never_ends_is_stopped() {
    let ten = "[1,2,3,4,5,6,7,8,9,10]";
    let mut source = "true".to_owned();
    for depth in 0..12 {
        source = format!("{ten}.all(x{depth}, {source})");
    }
    let program = compile(&Environment::new(), &source).unwrap();
    let mut budget = Budget::new(1_000_000);
    assert_eq!(program.evaluate(&Vec::new(), &mut budget).unwrap_err(), EvalError::CostExceeded);
    assert_eq!(budget.left(), 0);
    assert!(program.estimated_cost(&|_: &[&str]| None) > 1_000_000_000_000);
    // A text that doubles with each step.
    let doubling = format!("{}.map(x, x)", "['a']");
    let mut source = doubling;
    for _ in 0..30 {
        source = format!("({source} + {source})");
        if source.len() > 2_000 {
            break;
        }
    }
    assert!(compile(&Environment::new(), &source).is_ok());
}
