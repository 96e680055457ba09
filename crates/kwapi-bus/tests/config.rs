//! The bus's words in `kwapi.toml`.

use kwapi_bus::{Attach, CurveConfig, Key, Scheme};
use serde::Deserialize;

/// As an endpoint's table has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    signature: Scheme,
    #[serde(default)]
    attach: Option<Attach>,
    #[serde(default)]
    keys: Vec<Key>,
    #[serde(default)]
    curve: Option<CurveConfig>,
}

const TABLE: &str = r#"
    signature = "legacy"
    attach = "bind"
    keys = [{ id = "lyon-1", secret = "0123456789abcdef" }, { id = "nancy-1", secret = "fedcba9876543210", probes = "nancy.*" }]
    [curve]
    secret_key = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
    clients = ["Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"]
"#;

#[test]
fn each_word_is_read() {
    let table: Table = toml::from_str(TABLE).expect("a table");
    assert_eq!((table.signature, table.attach), (Scheme::Legacy, Some(Attach::Bind)));
    let probes: Vec<_> = table.keys.iter().map(|key| key.probes.to_string()).collect();
    assert_eq!(probes, ["*", "nancy.*"]);
    assert_eq!(table.curve.expect("keys").clients.len(), 1);
}

#[test]
fn what_is_left_out_is_safe() {
    let table: Table = toml::from_str("").expect("a table");
    assert_eq!(table.signature, Scheme::Kwapi1);
}

#[test]
fn a_misspelt_word_is_refused_by_name() {
    for (right, wrong) in [
        ("legacy", "legacies"),
        ("\"bind\"", "\"binds\""),
        ("probes =", "probe ="),
        ("secret =", "secrets ="),
        ("clients", "client"),
    ] {
        let error = toml::from_str::<Table>(&TABLE.replace(right, wrong)).expect_err("a misspelling");
        let word = wrong.trim_matches(['"', ' ', '=']);
        assert!(error.to_string().contains(&format!("`{word}`")), "{error}");
    }
}

#[test]
fn no_secret_prints() {
    let shown = format!("{:?}", toml::from_str::<Table>(TABLE).expect("a table"));
    for secret in ["0123456789abcdef", "fedcba9876543210", "JTKVSB"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
