//! What can be taken away of a probe, as files.

use kwapi_core::ProbeId;

use super::super::Site;
use crate::http::percent::encode;

/// Something that there is as files.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) what: &'static str,
    /// Word and address of each.
    pub(super) files: Vec<(&'static str, String)>,
}

/// Of several probes together over the range at `href`, and the RRD file of their history, if there is one.
pub(super) fn of_sum(href: &str, rrd: Option<String>) -> Vec<Download> {
    let form = |format: &str| format!("{href}&format={format}");
    let mut all = vec![
        Download { what: "Values", files: vec![("CSV", form("csv"))] },
        Download { what: "Graph", files: vec![("PNG", form("png")), ("SVG", form("svg"))] },
    ];
    all.extend(rrd.map(|rrd| Download { what: "History", files: vec![("RRD", rrd)] }));
    all
}

/// Of the range at `href`, as far as it is kept, and the RRD file.
pub(super) fn downloads(site: &Site, probe: &ProbeId, href: &str, of: [&'static str; 3]) -> Vec<Download> {
    let [samples, values, graph] = of;
    let form = |format: &str| format!("{href}&format={format}");
    let mut all = Vec::new();
    if site.directory.samples().is_some() {
        let files = vec![("CSV", form("samples")), ("Parquet", form("parquet"))];
        all.push(Download { what: samples, files });
    }
    if site.directory.query().is_some() {
        all.push(Download { what: values, files: vec![("CSV", form("csv"))] });
        all.push(Download { what: graph, files: vec![("PNG", form("png")), ("SVG", form("svg"))] });
    }
    let rrd = format!("/rrd/{}/", encode(probe.as_str()));
    all.push(Download { what: "History", files: vec![("RRD", rrd)] });
    all
}
