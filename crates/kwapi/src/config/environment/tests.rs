use proptest::prelude::*;

use super::*;

#[test]
fn a_line_gives_a_value_as_systemd_reads_it() {
    let text = "# A=comment\n; A=comment\nA=first\n\n  B = two words \nC='a \"b\" \\'\nD=\"a 'b' \\\" \\$x \\n\"\nE=a\\ b\\\\\n\
                F=\nG=x'y z'\"w\"\nA=last=this\nH='open\nexport I=1\nJ=ends\\\n";
    for (name, expected) in [
        ("A", Some("last=this")),
        ("B", Some("two words")),
        ("C", Some("a \"b\" \\")),
        ("D", Some("a 'b' \" $x \\n")),
        ("E", Some("a b\\")),
        ("F", Some("")),
        ("G", Some("xy zw")),
        ("H", None),
        ("I", None),
        ("J", None),
        ("K", None),
    ] {
        assert_eq!(value(text, name).as_deref(), expected, "{name}");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment");
    std::fs::write(&file, format!("A=1\n{}", "#\n".repeat(1 << 19))).unwrap();
    assert_eq!(read(&file, "A").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    std::fs::write(&file, "A=1\n").unwrap();
    assert_eq!(read(&file, "A").unwrap().as_deref(), Some("1"));
}

proptest! {
    #[test]
    fn whatever_is_quoted_comes_back(secret in "[^\\r\\n]{0,40}", around in "[A-Z]=[^\\r\\n]{0,9}") {
        let quoted: String = secret
            .chars()
            .flat_map(|it| if matches!(it, '"' | '\\' | '`' | '$') { vec!['\\', it] } else { vec![it] })
            .collect();
        prop_assert_eq!(value(&format!("{around}\nSECRET=\"{quoted}\"\n{around}\n"), "SECRET"), Some(secret));
    }

    #[test]
    fn no_text_panics(text in any::<String>(), name in "[A-Z]{0,2}") {
        value(&text, &name);
        value(&format!("{name}={text}"), &name);
    }
}
