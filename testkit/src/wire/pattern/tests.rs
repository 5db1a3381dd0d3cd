use super::{Diff, Json, Matcher, spellings};

const NO_KEY: &Result<Vec<u8>, String> = &Err(String::new());

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn diff_of(pattern: &str, got: &str, keys_either: bool) -> Diff {
    let mut diff = Diff::default();
    let matcher = Matcher { keys_either, agent_key: NO_KEY };
    matcher.compare(&json(pattern), Some(&json(got)), "x", &mut diff);
    diff
}

/// What is wrong with `got`; empty if it fits.
fn errors(pattern: &str, got: &str) -> Vec<String> {
    diff_of(pattern, got, false).errors
}

#[track_caller]
fn fits(pattern: &str, values: &[&str]) {
    for got in values {
        assert_eq!(errors(pattern, got), [""; 0], "{pattern} against {got}");
    }
}

#[track_caller]
fn refuses(pattern: &str, values: &[&str]) {
    for got in values {
        let found = errors(pattern, got);
        assert_eq!(found, [format!("x: expected {}, got {}", shown(pattern), shown(got))]);
    }
}

fn shown(text: &str) -> String {
    super::short(Some(&json(text)))
}

#[test]
fn numbers_compare_by_value_and_never_with_booleans() {
    fits("1", &["1", "1.0"]);
    fits("0.5", &["0.5"]);
    fits("true", &["true"]);
    fits("null", &["null"]);
    refuses("1", &["2", "true", "\"1\"", "null", "[1]"]);
    refuses("false", &["0", "null", "\"\""]);
    refuses("null", &["0", "{}"]);
}

#[test]
fn types_are_told_apart() {
    fits("\"<any>\"", &["1", "null", "{}"]);
    fits("\"<string>\"", &["\"\"", "\"a\\nb\""]);
    refuses("\"<string>\"", &["1", "null"]);
    fits("\"<int>\"", &["1", "-7"]);
    refuses("\"<int>\"", &["1.0", "true", "\"1\""]);
    fits("\"<float>\"", &["1", "1.5"]);
    refuses("\"<float>\"", &["true", "\"1.5\""]);
    fits("\"<bool>\"", &["true", "false"]);
    refuses("\"<bool>\"", &["1", "null"]);
    fits("\"<object>\"", &["{}"]);
    refuses("\"<object>\"", &["[]"]);
    fits("\"<array>\"", &["[]"]);
    refuses("\"<array>\"", &["{}"]);
    fits("\"<null>\"", &["null"]);
    refuses("\"<null>\"", &["0", "\"\""]);
}

#[test]
fn placeholders_match_whole_texts() {
    let uuid = "\"123e4567-e89b-12d3-A456-426614174000\"";
    fits("\"<uuid>\"", &[uuid]);
    refuses("\"<uuid>\"", &["\"x123e4567-e89b-12d3-a456-426614174000\"", "\"\"", "1"]);
    fits("\"<timestamp>\"", &["\"2026-01-02T03:04:05Z\"", "\"2026-01-02T03:04:05.678+00:00\""]);
    refuses("\"<timestamp>\"", &["\"2026-01-02T03:04:05\"", "\"2026-01-02T03:04:05Z\\n\""]);
    fits("\"<base58>\"", &["\"abc\""]);
    refuses("\"<base58>\"", &["\"0\"", "\"\""]);
    refuses("\"<signature>\"", &["\"abc\""]);
    fits("\"<did>\"", &["\"did:bindu:a_at_b:c:1\"", "\"did:key:z6Mk\""]);
    refuses("\"<did>\"", &["\"did:Bindu:a\"", "\"xdid:key:z\""]);
    fits("\"<url>\"", &["\"http://a/b\"", "\"https://a\""]);
    refuses("\"<url>\"", &["\"ftp://a\"", "\"http://a b\""]);
    fits("\"<digits>\"", &["\"0123\""]);
    refuses("\"<digits>\"", &["\"-1\"", "12"]);
    fits("\"<number>\"", &["\"-1.5e+3\"", "\"7\""]);
    refuses("\"<number>\"", &["\"1.\"", "\"x\""]);
    fits("\"<token>\"", &["\"a.b~+/=\""]);
    refuses("\"<token>\"", &["\"a b\"", "\"\""]);
    fits("\"<nonempty>\"", &["\"a\\nb\""]);
    refuses("\"<nonempty>\"", &["\"\"", "1"]);
}

#[test]
fn placeholders_stand_inside_a_text_too() {
    fits("\"a.c <digits> (<string>)\"", &["\"a.c 12 ()\"", "\"a.c 1 (x\\ny)\""]);
    refuses("\"a.c <digits> (<string>)\"", &["\"abc 12 ()\"", "\"a.c 12 () \"", "\"a.c x ()\""]);
    fits("\"<unknown> text\"", &["\"<unknown> text\""]);
    refuses("\"<unknown> text\"", &["\"1 text\""]);
}

#[test]
fn in_takes_the_first_that_fits_with_its_warnings() {
    fits(r#"{"$in":[1,"<uuid>",{"a":1}]}"#, &["1", r#"{"a":1}"#]);
    refuses(r#"{"$in":[1,{"a":1}]}"#, &["2", r#"{"a":2,"b":0}"#]);
    let diff = diff_of(r#"{"$in":[{"a":2},{"a":1},"<object>"]}"#, r#"{"a":1,"b":0}"#, false);
    assert_eq!(diff.warnings, ["x.b: unexpected key, value 0"]);
}

#[test]
fn optional_and_absent_speak_about_missing_members() {
    fits(r#"{"a":{"$optional":1}}"#, &["{}", r#"{"a":1}"#]);
    assert_eq!(errors(r#"{"a":{"$optional":1}}"#, r#"{"a":2}"#), ["x.a: expected 1, got 2"]);
    fits(r#"{"a":{"$absent":true}}"#, &["{}"]);
    assert_eq!(
        errors(r#"{"a":{"$absent":true}}"#, r#"{"a":null}"#),
        ["x.a: expected to be absent, got null"]
    );
    assert_eq!(errors(r#"{"a":1}"#, "{}"), ["x.a: expected 1, got (absent)"]);
    assert_eq!(
        errors(r#"{"a":{"$in":[1]}}"#, "{}"),
        [r#"x.a: expected {"$in": [1]}, got (absent)"#]
    );
}

#[test]
fn regex_searches_and_contains_looks_inside() {
    fits(r#"{"$regex":"^a.c"}"#, &["\"abcd\""]);
    refuses(r#"{"$regex":"^a.c"}"#, &["\"xabc\"", "1"]);
    fits(r#"{"$contains":"b.c"}"#, &["\"ab.cd\""]);
    refuses(r#"{"$contains":"b.c"}"#, &["\"abxcd\"", "[\"b.c\"]"]);
    let broken = errors(r#"{"$regex":"("}"#, "\"a\"");
    assert!(broken[0].starts_with("x: cannot use the pattern"), "{broken:?}");
}

#[test]
fn type_names_a_type() {
    fits(r#"{"$type":"int"}"#, &["1"]);
    refuses(r#"{"$type":"int"}"#, &["1.5", "true"]);
    assert_eq!(errors(r#"{"$type":"whole"}"#, "1"), ["x: no type is called <whole>"]);
}

#[test]
fn each_compares_every_element_and_min_counts_them() {
    fits(r#"{"$each":"<int>"}"#, &["[]", "[1,2]"]);
    refuses(r#"{"$each":"<int>","$min":2}"#, &["[1]", "{}", "null"]);
    assert_eq!(
        errors(r#"{"$each":"<int>"}"#, r#"[1,"a"]"#),
        [r#"x[1]: expected "<int>", got "a""#]
    );
}

#[test]
fn unordered_wants_all_and_includes_some() {
    fits(r#"{"$unordered":[1,"<string>"]}"#, &[r#"["a",1]"#]);
    refuses(r#"{"$unordered":[1,2]}"#, &["[1]", "[1,2,3]", "{}"]);
    assert_eq!(errors(r#"{"$unordered":[1,1]}"#, "[1,2]"), ["x: no element matches 1 in [1, 2]"]);
    fits(r#"{"$includes":[2,1]}"#, &["[1,2,3]"]);
    assert_eq!(errors(r#"{"$includes":[4]}"#, "[1]"), ["x: no element matches 4 in [1]"]);
    // `true` fits, and the equal `1` before it is what is taken away.
    assert_eq!(
        errors(r#"{"$unordered":["<bool>",1]}"#, "[1,true]"),
        ["x: no element matches 1 in [1, true]"]
    );
}

#[test]
fn jsontext_compares_what_a_text_holds() {
    fits(r#"{"$jsontext":{"a":1}}"#, &[r#""{\"a\": 1}""#]);
    assert_eq!(
        errors(r#"{"$jsontext":{"a":1}}"#, r#""{\"a\": 2}""#),
        ["x(json).a: expected 1, got 2"]
    );
    refuses(r#"{"$jsontext":{"a":1}}"#, &["\"{\"", r#"{"a":1}"#]);
}

#[test]
fn an_operator_of_another_name_is_an_ordinary_object() {
    fits(r#"{"$other":1}"#, &[r#"{"$other":1}"#]);
    fits(r#"{"$min":2,"$each":1}"#, &[r#"{"$min":2,"$each":1}"#]);
    refuses(r#"{"$other":1}"#, &["1"]);
    fits("{}", &["{}"]);
}

#[test]
fn keys_the_pattern_does_not_know_are_warnings() {
    let diff = diff_of(r#"{"a":1}"#, r#"{"b":[1,2],"a":1}"#, false);
    assert!(diff.errors.is_empty());
    assert_eq!(diff.warnings, ["x.b: unexpected key, value [1, 2]"]);
}

#[test]
fn either_spelling_of_a_key_counts_when_asked_for() {
    let (pattern, got) = (r#"{"task_id":1,"contextId":2}"#, r#"{"taskId":1,"context_id":2}"#);
    let diff = diff_of(pattern, got, true);
    assert_eq!((diff.errors.len(), diff.warnings.len()), (0, 0));
    let diff = diff_of(pattern, got, false);
    assert_eq!((diff.errors.len(), diff.warnings.len()), (2, 2));
    assert_eq!(spellings("a_b_1_cD"), ["aB_1CD", "a_b_1_c_d"]);
    // The spelling of the pattern wins where both are there.
    assert_eq!(diff_of(r#"{"task_id":1}"#, r#"{"taskId":2,"task_id":1}"#, true).errors.len(), 0);
}

#[test]
fn lists_are_compared_in_order_and_optional_elements_may_be_missing() {
    let pattern = r#"[1,{"$optional":2},3]"#;
    fits(pattern, &["[1,2,3]", "[1,3]"]);
    assert_eq!(errors(pattern, "[1]"), ["x[1]: expected 3, got (absent)"]);
    assert_eq!(errors(pattern, "[1,2]"), ["x[2]: expected 3, got (absent)"]);
    assert_eq!(errors(pattern, "[1,3,4,5]"), ["x: 2 element(s) too many: [4, 5]"]);
    assert_eq!(
        errors(pattern, "[1,4,3]"),
        ["x[1]: expected 3, got 4", "x: 1 element(s) too many: [3]"]
    );
    refuses("[]", &["{}", "\"\""]);
}
