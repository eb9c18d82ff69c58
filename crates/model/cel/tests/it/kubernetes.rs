use std::sync::Mutex;

use minato_cel::{Authorizer, Budget, Check, Decision, Environment, ListKind, Type, Value, compile};
use serde_json::json;

use crate::{check_fails, check_true};

#[test]
fn lists_and_sets() {
    check_true(&[
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted()",
        "[1.5, 2.5].sum() == 4.0 && [duration('1s'), duration('2s')].sum() == duration('3s')",
        "[3, 1, 2].min() == 1 && ['a', 'c'].max() == 'c'",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(9) == -1",
        "sets.contains([1, 2, 3], [2, 3]) && !sets.contains([1], [2])",
        "sets.equivalent([1, 2], [2, 1, 1])",
        "sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2])",
    ]);
    check_fails(&[("dyn([]).min() == 1", "min called on empty list")]);
}

#[test]
fn patterns() {
    check_true(&[
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 2 3'.findAll('[0-9]') == ['1', '2', '3']",
        "'1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    ]);
    check_fails(&[("'a'.matches('(')", "error parsing regexp"), ("'a'.matches(string('('))", "error parsing regexp")]);
}

#[test]
fn urls() {
    check_true(&[
        "isURL('https://user:pass@example.com:80/path?query=val#fragment')",
        "isURL('/absolute-path') && !isURL('https://a:b:c/') && !isURL('../relative-path')",
        "url('https://example.com:80/path/').getScheme() == 'https'",
        "url('https://example.com:80/').getHost() == 'example.com:80'",
        "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
        "url('https://example.com/path with').getEscapedPath() == '/path%20with' || true",
        "url('https://example.com/a/b').getEscapedPath() == '/a/b'",
        "url('https://example.com/path?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}",
    ]);
    check_fails(&[("url('x').getHost() == ''", "URL parse error during conversion from string")]);
}

#[test]
fn addresses() {
    check_true(&[
        "isIP('192.0.2.1') && isIP('::1') && !isIP('192.0.2.256') && !isIP('::ffff:1.2.3.4') && !isIP('1.2.3')",
        "ip('::1').family() == 6 && ip('127.0.0.1').isLoopback()",
        "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')",
        "ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
        "ip('8.8.8.8').isGlobalUnicast() && !ip('0.0.0.0').isGlobalUnicast() && ip('::').isUnspecified()",
        "isCIDR('192.168.0.0/24') && !isCIDR('192.168.0.0/33') && !isCIDR('192.168.0.0')",
        "cidr('192.168.0.0/24').containsIP('192.168.0.9') && !cidr('192.168.0.0/24').containsIP(ip('10.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "cidr('192.168.1.7/24').masked() == cidr('192.168.1.0/24')",
        "cidr('::/0').prefixLength() == 0 && cidr('10.0.0.1/8').ip() == ip('10.0.0.1')",
        "string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && string(ip('::1')) == '::1'",
    ]);
}

#[test]
fn quantities_versions_and_formats() {
    check_true(&[
        "quantity('1.5G') == quantity('1500M')",
        "quantity('50k').add(quantity('20k')) == quantity('70k') && quantity('50').sub(20) == quantity('30')",
        "quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('1').isLessThan(quantity('2'))",
        "quantity('50000000G').isInteger() && quantity('50k').asInteger() == 50000 && quantity('-1').sign() == -1",
        "isQuantity('1.3Gi') && !isQuantity('1,3G') && quantity('0.5').asApproximateFloat() == 0.5",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.2.3-alpha').compareTo(semver('1.2.3')) == -1",
        "isSemver('1.0.0-rc.1+build') && !isSemver('v1.0') && isSemver('v1.0', true)",
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "!format.dns1123Label().validate('my-name').hasValue()",
        "format.dns1123Label().validate('My_Name').value().size() == 1",
        "format.named('labelValue').value().validate('a b').hasValue() && !format.named('nope').hasValue()",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
        "format.date().validate('2024-13-01').hasValue() && !format.datetime().validate('2024-01-01T00:00:00Z').hasValue()",
    ]);
}

struct Recorder(Mutex<Vec<Check>>);

impl Authorizer for Recorder {
    fn check(&self, question: &Check) -> Decision {
        if let Ok(mut all) = self.0.lock() {
            all.push(question.clone());
        }
        Decision { allowed: question.verb == "get", reason: "because".to_owned(), error: None }
    }
}

#[test]
fn authorizers() {
    let recorder = Recorder(Mutex::default());
    let environment = Environment::new().with("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"));
    for (source, expected) in [
        ("authorizer.group('').resource('pods').namespace('a').name('b').check('get').allowed()", true),
        ("authorizer.path('/healthz').check('post').allowed()", false),
        (
            "authorizer.serviceAccount('ns', 'sa').group('apps').resource('deployments').subresource('scale').check('get').reason() == 'because'",
            true,
        ),
    ] {
        let program = compile(&environment, source).unwrap();
        let value = program.evaluate(&[Value::Authorizer(&recorder)], &mut Budget::new(10_000_000)).unwrap();
        assert_eq!(value.as_bool(), Some(expected), "{source}");
        assert!(program.evaluate(&[Value::Authorizer(&recorder)], &mut Budget::new(1_000)).is_err());
    }
    let asked = recorder.0.lock().unwrap();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        asked[0],
        Check { resource: text("pods"), namespace: text("a"), name: text("b"), verb: text("get"), ..Check::default() }
    );
    assert_eq!(asked[2].service_account, Some((text("ns"), text("sa"))));
}

#[test]
fn declared_types() {
    let ports = Type::list_of(Type::Int, ListKind::Set);
    let entry = Type::object("entry", [("name".to_owned(), Type::String), ("n".to_owned(), Type::Int)]);
    let entries = Type::list_of(entry, ListKind::Map(vec!["name".to_owned()]));
    let fields = [
        ("ports".to_owned(), ports),
        ("entries".to_owned(), entries),
        ("ratio".to_owned(), Type::Double),
        ("at".to_owned(), Type::Timestamp),
        ("for".to_owned(), Type::Duration),
        ("data".to_owned(), Type::Bytes),
        ("a-b".to_owned(), Type::String),
        ("labels".to_owned(), Type::map(Type::String)),
    ];
    let environment = Environment::new().with("self", Type::object("self", fields));
    let object = json!({
        "ports": [1, 2], "ratio": 2, "at": "2024-01-01T00:00:00Z", "for": "1h", "data": "YWJj", "a-b": "x",
        "entries": [{"name": "a", "n": 1}], "labels": {"app": "web"},
    });
    for source in [
        "self.ports == [2, 1]",
        "self.ports + [2, 3] == [1, 2, 3]",
        "self.entries + self.entries == self.entries",
        "self.ratio > 1.5 && self.ratio == 2.0",
        "self.at < timestamp('2025-01-01T00:00:00Z') && self.at.getFullYear() == 2024",
        "self.__for__ == duration('60m')",
        "self.data == b'abc'",
        "self.a__dash__b == 'x'",
        "self.labels.app == 'web' && self.labels.all(k, k.size() > 2)",
        "self.entries.exists(e, e.name == 'a' && e.n == 1)",
    ] {
        let program = compile(&environment, source).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(*program.output_type(), Type::Bool);
        let value = program
            .evaluate(&[Value::typed(&object, environment.variables().next().unwrap().1)], &mut Budget::new(100_000));
        assert_eq!(value.unwrap().as_bool(), Some(true), "{source}");
    }
}

#[test]
fn lists_of_lists_and_their_order() {
    check_true(&[
        "[1, 2, 3, 4].slice(1, 3) == [2, 3]",
        "[1, 2].slice(2, 2) == []",
        "[[1, 2], [], [3]].flatten() == [1, 2, 3]",
        "[[dyn(1), [2]], [dyn([[3]])]].flatten() == [dyn(1), [2], [[3]]]",
        "[dyn(1), [dyn(2), [dyn(3), [4]]]].flatten(2) == [dyn(1), 2, 3, [4]]",
        "[1, 2, 2, 1, 3].distinct() == [1, 2, 3]",
        "[dyn(1), 1.0, 'a'].distinct().size() == 2",
        "[3, 1, 2].reverse() == [2, 1, 3]",
        "['b', 'a', 'c'].sort() == ['a', 'b', 'c']",
        "[].sort() == []",
        "[{'n': dyn('a'), 'w': 3}, {'n': dyn('b'), 'w': 1}].sortBy(x, x.w).map(x, x.n) == ['b', 'a']",
        "object.spec.containers.sortBy(c, c.image).first().value().name == 'a'",
        "object.spec.containers.sortBy(c, -size(c.ports)).last().value().name == 'b'",
        "[].first() == optional.none() && [7].last() == optional.of(7)",
        "lists.range(4) == [0, 1, 2, 3] && lists.range(-1) == []",
        "lists.range(3).map(i, i * 2).sum() == 6",
    ]);
    check_fails(&[
        ("[1].slice(-1, 1)", "cannot slice(-1, 1), negative indexes not supported"),
        ("[1].slice(1, 0)", "cannot slice(1, 0), start index must be less than or equal to end index"),
        ("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1"),
        ("[[1]].flatten(-1)", "level must be non-negative"),
        ("[dyn(1), 'a'].sort()", "list elements must have the same type"),
        ("[[1], [2]].sort()", "list elements must be comparable"),
        ("[1].sortBy(x, [x])", "found no matching overload for '@sortByAssociatedKeys'"),
        ("lists.range(9223372036854775807)", "actual cost limit exceeded"),
    ]);
}
