use minato_cel::{Environment, Type, compile};

fn check(cases: &[(&str, &str)]) {
    let object = Type::object("Object", [("replicas".to_owned(), Type::Int), ("name".to_owned(), Type::String)]);
    let environment = Environment::new().with("self", object).with("any", Type::Dyn);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(source, expected)| match compile(&environment, source) {
            Err(error) if error.to_string() == *expected => None,
            Err(error) => Some(format!("{source}\n  gives\n{error}\n  not\n{expected}")),
            Ok(_) => Some(format!("{source} compiles")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_are_those_of_cel_go() {
    check(&[
        ("x == 1", "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x == 1\n | ^"),
        (
            "1 + nope(2)",
            "ERROR: <input>:1:9: undeclared reference to 'nope' (in container '')\n | 1 + nope(2)\n | ........^",
        ),
        (
            "self.replicas == 'a'",
            "ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, string)'\n | self.replicas == 'a'\n | ..............^",
        ),
        ("self.absent", "ERROR: <input>:1:5: undefined field 'absent'\n | self.absent\n | ....^"),
        (
            "self.replicas.startsWith('a')",
            "ERROR: <input>:1:25: found no matching overload for 'startsWith' applied to 'int.(string)'\n | self.replicas.startsWith('a')\n | ........................^",
        ),
        (
            "self.replicas.all(x, true)",
            "ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.replicas.all(x, true)\n | ....^",
        ),
        (
            "self.replicas.foo",
            "ERROR: <input>:1:14: type 'int' does not support field selection\n | self.replicas.foo\n | .............^",
        ),
        ("has(any)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(any)\n | ....^"),
        (
            "1 +",
            "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^",
        ),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "x ||\n  y",
            "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x ||\n | ^\nERROR: <input>:2:3: undeclared reference to 'y' (in container '')\n |   y\n | ..^",
        ),
    ]);
}

#[test]
fn what_is_too_deep_is_refused() {
    for source in
        ["(".repeat(5000), "[".repeat(100), "!".repeat(5000) + "true", "1+".repeat(5000) + "1", "a.".repeat(2000) + "a"]
    {
        let error = compile(&Environment::new(), &source).unwrap_err();
        assert!(error.to_string().contains("recursion limit exceeded"), "{}", &error.to_string()[..100]);
    }
    let long = format!("'{}'", "a".repeat(200_000));
    assert!(compile(&Environment::new(), &long).is_err());
    let wide = format!("[{}]", vec!["1"; 20_000].join(","));
    assert!(compile(&Environment::new(), &wide).is_ok());
}
