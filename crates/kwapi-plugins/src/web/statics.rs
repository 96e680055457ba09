//! The style sheet, the scripts and the icon, compiled in.

/// A file a page requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct StaticFile {
    pub(super) kind: &'static str,
    pub(super) bytes: &'static [u8],
}

/// The file called `name`; there is no folder behind this, so a name cannot climb out of one.
pub(super) fn find(name: &str) -> Option<StaticFile> {
    let (kind, bytes): (_, &[u8]) = match name {
        "design.css" => ("text/css; charset=utf-8", include_bytes!("static/design.css")),
        "live.js" => ("text/javascript; charset=utf-8", include_bytes!("static/live.js")),
        "stream.js" => ("text/javascript; charset=utf-8", include_bytes!("static/stream.js")),
        "kwapi.js" => ("text/javascript; charset=utf-8", include_bytes!("static/kwapi.js")),
        "search.js" => ("text/javascript; charset=utf-8", include_bytes!("static/search.js")),
        "graph.js" => ("text/javascript; charset=utf-8", include_bytes!("static/graph.js")),
        "favicon.png" => ("image/png", include_bytes!("static/favicon.png")),
        "favicon.svg" => ("image/svg+xml", include_bytes!("static/favicon.svg")),
        _ => return None,
    };
    Some(StaticFile { kind, bytes })
}

/// What a page adds to a file's address, so that a new version of the program is fetched again.
pub(super) fn version() -> String {
    let mut hasher = crc32fast::Hasher::new();
    for name in [
        "design.css",
        "kwapi.js",
        "live.js",
        "stream.js",
        "graph.js",
        "search.js",
        "favicon.png",
        "favicon.svg",
    ] {
        hasher.update(find(name).map_or(&[], |file| file.bytes));
    }
    format!("{:08x}", hasher.finalize())
}
