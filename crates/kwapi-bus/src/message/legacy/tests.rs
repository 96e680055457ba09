//! The judge is `vectors.json`: messages the original signed on `CPython` 2.7.18, with what it signed.

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::Value as Json;
use sha2::Sha256;

use super::*;
use crate::{Key, Refusal, Scheme, Verifier};

fn vectors() -> Json {
    serde_json::from_str(include_str!("vectors.json")).expect("a JSON file")
}

fn digest_of(message: &str) -> Result<String, Unsignable> {
    let mut text = String::new();
    digest(&json::members(message).expect("an object"), &mut text).map(|()| text)
}

fn verifier(secret: &str) -> Verifier {
    Verifier::new(Scheme::Legacy, vec![Key::new("original", secret)]).expect("a key")
}

/// Signs `message` with `signature` and shows it to an endpoint.
fn verify(verifier: &Verifier, probe: &str, message: &str, signature: &str) -> Result<(), Refusal> {
    let (open, _) = message.rsplit_once('}').expect("an object");
    let signed = format!("{open}, \"message_signature\": \"{signature}\"}}");
    verifier.decode(&[format!("{probe}.").as_bytes(), signed.as_bytes()]).map(drop)
}

#[test]
fn all_37_vectors_sign_as_the_original_did() {
    let vectors = vectors();
    let vectors = vectors["vectors"].as_array().expect("vectors");
    assert_eq!(vectors.len(), 37);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().expect(name);
        let covered = digest_of(text("message_json")).expect("signable");
        assert_eq!(covered, text("digest_input"), "{}", text("name"));
        let mut mac = Hmac::<Sha256>::new_from_slice(text("secret").as_bytes()).expect("any length");
        mac.update(covered.as_bytes());
        let signature = crate::key::hex(&mac.finalize().into_bytes().into());
        assert_eq!(signature, text("signature").as_bytes(), "{}", text("name"));
    }
}

#[test]
fn all_37_vectors_pass_the_signature_at_an_endpoint() {
    for vector in vectors()["vectors"].as_array().expect("vectors") {
        let text = |name: &str| vector[name].as_str().expect(name);
        if text("secret").is_empty() {
            continue; // An endpoint cannot be configured so.
        }
        let json = json::members(text("message_json")).expect("an object");
        let Some(JsonValue::Text(probe)) =
            json.iter().find(|member| member.name == "probe_id").map(|member| &member.value)
        else {
            panic!("{}: no probe", text("name"));
        };
        let seen = verify(&verifier(text("secret")), probe, text("message_json"), text("signature"));
        let expected = match text("name") {
            "nan_inf"
            | "int_negative"
            | "int_beyond_i64"
            | "int_30_digits"
            | "float_big_1e11"
            | "g5k_like"
            | "float_just_below_1e11"
            | "float_rounds_up_to_1e11" => Err(Refusal::Power),
            "nested_level_sort" => Err(Refusal::Member), // Its `a` is an object.
            _ => Ok(()),
        };
        assert_eq!(seen, expected, "{}", text("name"));
        let wrong = verify(&verifier("another"), probe, text("message_json"), text("signature"));
        assert_eq!(wrong, Err(Refusal::SignatureWrong), "{}", text("name"));
    }
}

#[test]
fn floats_are_written_as_python_2_writes_them() {
    for case in vectors()["py2_float_text"].as_array().expect("cases") {
        let json = case["json"].as_str().expect("a number");
        assert_eq!(python2_str(float(json)), case["signed_as"].as_str().expect("a text"), "{json}");
    }
}

#[test]
fn the_collisions_of_the_original_verify_here_as_they_did_there() {
    let collisions = &vectors()["collisions"];
    let verifier = verifier("Change This Or Be Hacked");
    let forged = collisions["forged_other_probe"]["message_json"].as_str().expect("a message");
    assert!(verifier.decode(&[b"Av230.0.", forged.as_bytes()]).is_ok());
    // Its signature holds too; what is left of the message is no measurement.
    let forged = collisions["forged_number_as_string"]["message_json"].as_str().expect("a message");
    assert_eq!(verifier.decode(&[b"A.", forged.as_bytes()]).map(drop), Err(Refusal::ProbeId));
    let changed = |w: &str| digest_of(&format!(r#"{{"w": {w}, "probe_id": "A"}}"#));
    assert_eq!(
        changed("33.333333333336"),
        changed("33.33333333329999").map(|_| "probe_idAw33.3333333333".into())
    );
}

#[test]
fn what_the_original_cannot_sign_is_no_signature() {
    assert_eq!(digest_of(r#"{"é": 1}"#), Err(Unsignable));
    assert_eq!(digest_of(r#"{"l": [{"b": 1, "a": 2}]}"#), Err(Unsignable));
    assert_eq!(digest_of(r#"{"d": {"d": 1, "é": 2}}"#), Err(Unsignable));
}

#[test]
fn the_original_takes_only_lower_case() {
    let message = r#"{"probe_id": "A", "w": 87}"#;
    let signature = "83b49f91241faf6e516e578b18232e26e7a84f3000709d8d03d94b6e0d12e902";
    let verifier = verifier("Change This Or Be Hacked");
    assert_eq!(verify(&verifier, "A", message, signature), Ok(()));
    assert_eq!(verify(&verifier, "A", message, &signature.to_uppercase()), Err(Refusal::SignatureWrong));
}

proptest! {
    #[test]
    fn noise_never_panics(x in any::<f64>(), text in any::<String>()) {
        _ = (python2_str(x), python2_repr(x));
        repr_text(&text, &mut String::new());
    }

    #[test]
    fn a_listed_float_reads_back(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
        prop_assert_eq!(python2_repr(x).parse::<f64>().ok(), Some(x));
    }
}
