use proptest::prelude::*;
use resvg::usvg::roxmltree::Document;

use super::*;

fn node(name: &str, amount: Option<f64>, children: Vec<FlowNode>) -> FlowNode {
    let text = amount.map_or_else(|| "unknown".to_owned(), |amount| format!("{amount} W"));
    let form = if amount.is_some() { FlowForm::Named(3) } else { FlowForm::Unknown };
    FlowNode { name: name.to_owned(), text, amount, form, href: Some(format!("/where/{name}/")), children }
}

/// The heights of all boxes of a class, in order.
fn heights(svg: &str, class: &str) -> Vec<f64> {
    let marks = svg.split("<rect ").skip(1).filter(|rect| rect.contains(class));
    marks
        .map(|rect| {
            let (_, height) = rect.split_once("height=\"").unwrap();
            height.split('"').next().unwrap().parse().unwrap()
        })
        .collect()
}

#[test]
fn heights_are_to_scale_and_what_is_unknown_is_a_stub() {
    let rest = FlowNode { form: FlowForm::Rest, ..node("rest", Some(25.0), Vec::new()) };
    let root =
        node("rack", Some(100.0), vec![node("a", Some(75.0), Vec::new()), rest, node("b", None, Vec::new())]);
    let svg = draw_flow(&root, 1_120, "Watts");
    assert_eq!(heights(&svg, "kw-c3"), [300.0, 400.0]);
    assert_eq!((heights(&svg, "kw-checks"), heights(&svg, "kw-hatch")), (vec![100.0], vec![STUB]));
    // What is unknown is named, and nothing flows there.
    assert_eq!(svg.matches("<path").count(), 2, "{svg}");
    assert!(svg.contains("b <tspan class=\"kw-dim\">unknown</tspan>"), "{svg}");
    assert!(svg.contains("<a href=\"/where/a/\"><title>a: 75 W</title>"), "{svg}");
}

#[test]
fn what_flows_on_beyond_what_was_measured_is_marked() {
    let root =
        node("rack", Some(80.0), vec![node("a", Some(60.0), Vec::new()), node("b", Some(40.0), Vec::new())]);
    let svg = draw_flow(&root, 1_120, "Watts");
    assert_eq!(heights(&svg, "kw-c3"), [240.0, 160.0, 320.0]);
    assert_eq!(heights(&svg, "kw-excess"), [80.0]);
    assert!(!draw_flow(&node("a", Some(1.0), Vec::new()), 1_120, "").contains("kw-excess"));
}

fn any_node() -> impl Strategy<Value = FlowNode> {
    let amount = prop_oneof![Just(None), any::<f64>().prop_map(Some), (0.0..1e6).prop_map(Some)];
    let leaf = ("\\PC{0,40}", amount).prop_map(|(name, amount)| node(&name, amount, Vec::new()));
    leaf.prop_recursive(4, 40, 6, |inner| {
        ("\\PC{0,40}", prop_oneof![Just(None), (0.0..1e9).prop_map(Some)], prop::collection::vec(inner, 0..6))
            .prop_map(|(name, amount, children)| node(&name, amount, children))
    })
}

proptest! {
    #[test]
    fn any_flow_is_a_picture_that_is_read_as_xml(root in any_node()) {
        let svg = draw_flow(&root, 1_120, &root.name);
        let tree = Document::parse(&svg);
        prop_assert!(tree.is_ok(), "{svg}");
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf\"") && !svg.contains("height=\"-"), "{svg}");
    }
}
