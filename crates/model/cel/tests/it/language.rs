use serde_json::json;

use crate::{check, check_fails, check_true};

#[test]
fn literals_and_operators() {
    check_true(&[
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "7 / 2 == 3 && -7 / 2 == -3",
        "7 % 3 == 1 && -7 % 3 == -1",
        "1.5 + 1.5 == 3.0",
        "1u + 2u == 3u",
        "0x1F == 31",
        "1e3 == 1000.0",
        "'a' + \"b\" == 'ab'",
        "b'abc' + b'd' == b'abcd'",
        "[1, 2] + [3] == [1, 2, 3]",
        "{'a': 1} == {'a': 1}",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
        "!(1 > 2)",
        "1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2",
        "'a' < 'b'",
        "true ? true : false",
        "null == null",
        "-(-5) == 5",
        "--5 == 5",
        "-9223372036854775808 < 0",
        "9223372036854775807 > 0",
    ]);
}

#[test]
fn numbers_of_different_kinds() {
    check_true(&[
        "1 < 1.5",
        "2u > 1",
        "1.0 <= 1",
        "dyn(1) == 1.0",
        "dyn(1) == 1u",
        "dyn(1u) == 1.0",
        "dyn(1) != 1.5",
        "dyn(9007199254740993) != 9007199254740992.0",
        "18446744073709551615u > 9223372036854775807",
        "-1 < 1u",
        "dyn('1') != 1",
        "1 in [dyn(1.0), 2]",
        "{dyn(1): 'a'}[dyn(1u)] == 'a'",
    ]);
}

#[test]
fn strings() {
    check_true(&[
        r"'\x41\u00e9\U0001F600' == 'Aé😀'",
        r"'\101' == 'A'",
        r"r'\n' == '\\n'",
        "'''a'b''' == \"a'b\"",
        "size('é😀') == 2",
        "'é😀'.size() == 2",
        "size(b'é') == 2",
        "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
        "'hello'.matches('^h.*o$')",
        "matches('hello', 'l+')",
        "string(1.5) == '1.5' && string(true) == 'true' && string(12u) == '12'",
        "int('42') == 42 && double('1.5') == 1.5 && bool('true')",
        "string(b'abc') == 'abc' && bytes('abc') == b'abc'",
        "int(1.9) == 1 && int(-1.9) == -1",
        "'tacocat'.charAt(3) == 'o'",
        "'hello mellow'.indexOf('ello', 2) == 7",
        "'hello mellow'.lastIndexOf('ello') == 7",
        "'hello mellow'.lastIndexOf('ello', 6) == 1",
        "['a', 'b'].join('-') == 'a-b' && [].join() == ''",
        "'TacoCat'.lowerAscii() == 'tacocat' && 'é'.upperAscii() == 'é'",
        "'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'abc'.split('') == ['a', 'b', 'c']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
        r"'  \ttrim\n '.trim() == 'trim'",
        "'%s is %d, %.2f, %x'.format(['a', 3, 1.5, 255]) == 'a is 3, 1.50, ff'",
        "'%s'.format([[1, 'a', {'k': true}]]) == '[1, a, {k: true}]'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    ]);
}

#[test]
fn lists_maps_and_macros() {
    check_true(&[
        "[1, 2, 3].all(x, x > 0) && ![1, -2].all(x, x > 0)",
        "[1, 2, 3].exists(x, x == 2)",
        "[1, 2, 3].exists_one(x, x > 2) && ![3, 4].exists_one(x, x > 2)",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6]",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
        "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "[[1], [2, 3]].map(x, x.map(y, y + 1)) == [[2], [3, 4]]",
        "{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])",
        "{'a': 1, 'b': 2}.map(k, k) == ['a', 'b']",
        "[1, 2, 3][1] == 2",
        "{'a': 1}['a'] == 1 && {'a': 1}.a == 1",
        "2 in [1, 2] && 'a' in {'a': 1} && !('b' in {'a': 1})",
        "size([1, 2]) == 2 && size({}) == 0",
        "[].all(x, false) && ![].exists(x, true)",
        "[10, 20].all(i, v, v == (i + 1) * 10)",
        "{'a': 1}.exists(k, v, k == 'a' && v == 1)",
        "[1, 2].transformList(i, v, i + v) == [1, 3]",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
        "[1, 2, 3].transformList(i, v, i > 0, v) == [2, 3]",
    ]);
}

#[test]
fn errors_are_absorbed() {
    check_true(&[
        "true || 1 / 0 > 0",
        "1 / 0 > 0 || true",
        "!(false && 1 / 0 > 0)",
        "!(1 / 0 > 0 && false)",
        "[0, 1].exists(x, 1 / x == 1)",
        "![0, 2].all(x, 1 / x == 1)",
        "false ? 1 / 0 == 0 : true",
    ]);
    check_fails(&[
        ("1 / 0 > 0 || false", "division by zero"),
        ("[1, 0].all(x, 1 / x == 1)", "division by zero"),
        ("[1, 0].map(x, 1 / x) == []", "division by zero"),
    ]);
}

#[test]
fn objects_and_optionals() {
    check_true(&[
        "object.spec.replicas <= variables.limit",
        "object.metadata.labels['app'] == 'web'",
        "has(object.spec.paused) && !has(object.spec.absent)",
        "object.spec.nothing == null",
        "object.spec.containers.all(c, c.image.contains('n') || c.name == 'b')",
        "object.spec.containers.exists(c, 443 in c.ports)",
        "object.?spec.?replicas.orValue(0) == 3",
        "object.?absent.?deeper.orValue('none') == 'none'",
        "object[?'absent'].hasValue() == false",
        "object.metadata.labels[?'app'].orValue('') == 'web'",
        "[1, 2][?5].orValue(9) == 9",
        "optional.of(1).hasValue() && !optional.none().hasValue()",
        "optional.of(1).optMap(x, x + 1).value() == 2",
        "optional.none().or(optional.of(2)).value() == 2",
        "optional.ofNonZeroValue('').hasValue() == false",
        "{?'a': object.?absent, 'b': object.spec.replicas} == {'b': 3}",
        "[?object.?absent, 1] == [1]",
        "object.spec.ratio == 0.5",
        "type(object.spec.replicas) == int && type('') == string && type(1.0) == double",
        "type(object.spec.containers) == list && type({}) == map && type(null) == null_type",
    ]);
    check(&[
        ("object.spec.containers.map(c, c.name)", json!(["a", "b"])),
        ("object.metadata.labels", json!({"app": "web", "tier": "front"})),
        ("{'sum': [1, 2].sum()}", json!({"sum": 3})),
    ]);
}

#[test]
fn time() {
    check_true(&[
        "duration('1h30m') == duration('90m')",
        "string(duration('1h30m')) == '5400s'",
        "duration('1.5s').getMilliseconds() == 1500 && duration('90m').getHours() == 1",
        "timestamp('2024-02-29T12:30:45Z').getFullYear() == 2024",
        "timestamp('2024-02-29T12:30:45Z').getMonth() == 1",
        "timestamp('2024-02-29T12:30:45Z').getDate() == 29 && timestamp('2024-02-29T12:30:45Z').getDayOfMonth() == 28",
        "timestamp('2024-02-29T12:30:45Z').getDayOfWeek() == 4",
        "timestamp('2024-02-29T12:30:45Z').getDayOfYear() == 59",
        "timestamp('2024-02-29T23:30:00Z').getHours('+02:00') == 1",
        "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        "timestamp('2024-01-01T00:00:00Z') < timestamp('2024-01-01T00:00:01Z')",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60",
        "string(timestamp('2024-01-01T00:00:00.5Z')) == '2024-01-01T00:00:00.5Z'",
    ]);
}

#[test]
fn failures() {
    check_fails(&[
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("-9223372036854775808 - 1 > 0", "integer overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("5 % 0 == 0", "modulus by zero"),
        ("[1][3] == 1", "index out of bounds: 3"),
        ("object.absent.deeper", "no such key: absent"),
        ("object['nope']", "no such key: nope"),
        ("object.spec.replicas.foo", "no such overload"),
        ("object.spec.replicas + 'a'", "no such overload"),
        ("int('x') == 1", "strconv.ParseInt"),
        ("duration('x') == duration('1s')", "time: invalid duration \"x\""),
        ("'abc'.substring(5) == ''", "index out of range: 5"),
        ("{'a': 1, 'a': 2}.a == 1", "insert failed: key a already exists"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("int(1e30) == 0", "integer overflow"),
        ("uint(-1) == 0u", "unsigned integer overflow"),
        ("object.spec.paused ? 1 : object.spec.absent", "no such key: absent"),
    ]);
}
