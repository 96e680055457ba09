use super::*;

#[tokio::test]
async fn silent_probes_are_listed_with_when_they_fell_silent_where_no_meters_are_read() {
    let mut fixture = Fixture::of(&["A", "B", "it's <b>"]);
    fixture.silent.extend(["B", "it's <b>"]);
    let shown = page(&serve(fixture), "/meters/").await;
    assert!(shown.contains("<dd>2 <span>of 3</span></dd>"), "{shown}");
    assert!(shown.contains("<a href=\"/probe/B/\">B</a></th><td class=\"num\">09:50:00 (10 min)"), "{shown}");
    assert!(shown.contains("it&#39;s &#60;b&#62;</a>") && !shown.contains("/probe/A/"), "{shown}");
    assert!(page(&serve(Fixture::of(&[])), "/meters/").await.contains("Nothing measured yet."));
}

#[tokio::test]
async fn a_silent_probe_is_shown_as_silent_and_not_as_zero() {
    let mut fixture = Fixture::of(&["A", "B"]);
    fixture.silent.insert("B");
    let site = serve(fixture);
    let list = page(&site, "/last/minute/").await;
    assert!(list.contains("1 of 2 probes reporting") && list.contains("1 silent"), "{list}");
    assert!(list.contains("last seen 10 min ago"), "{list}");
    let one = page(&site, "/probe/B/").await;
    assert!(one.contains("Silent") && !one.contains(">0.0 W"), "{one}");
}

#[tokio::test]
async fn a_total_shows_since_when_and_how_much_of_it_is_known() {
    let list = page(&site(), "/last/day/").await;
    assert!(
        list.contains("<strong>12.000 kWh</strong> · <strong>3.00 EUR</strong> since 22 Nov, 10:00"),
        "{list}"
    );
    assert!(list.contains("99.5 % measured, 0.5 % unknown"), "{list}");
}

#[tokio::test]
async fn simulated_probes_are_marked() {
    let site = serve(Fixture::of(&["demo.rack.1", "demonstrator"]));
    assert_eq!(page(&site, "/last/minute/").await.matches(">simulated</span>").count(), 1);
}

#[tokio::test]
async fn a_legend_reports_the_real_peaks_on_the_page_and_in_the_picture() {
    let site = site();
    for path in ["/last/day/", "/probe/A/", "/graph/day/A/?format=svg"] {
        let shown = page(&site, path).await;
        assert!(shown.contains("3.5 W") && shown.contains("2222.2 W"), "{path}: {shown}");
    }
}

#[tokio::test]
async fn a_sum_is_shown_but_counts_in_no_total() {
    let sums = |name: &str| ConfiguredProbes::new(|_| Labels::new(), [ProbeId::new(name).unwrap()]);
    let directory = Directory::new(sums("rack"));
    let site = serve_as(Fixture::of(&["A", "B", "rack"]), directory.clone());
    let parts = serve(Fixture::of(&["A", "B"]));
    let (list, expected) = (page(&site, "/last/minute/").await, page(&parts, "/last/minute/").await);
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    assert_eq!(between(&list, "<h1>", "</h1>"), between(&expected, "<h1>", "</h1>"));
    for from in ["id=\"summary-wide\"", "id=\"summary-legend\""] {
        assert_eq!(between(&list, from, "</div>"), between(&expected, from, "</div>"), "{from}");
    }
    assert!(list.contains("<strong>3.000 kWh</strong>"), "1.5 kWh each of A and B: {list}");
    assert!(list.contains("3 of 3 probes reporting") && list.matches(">sum</span>").count() == 1, "{list}");
    assert_eq!(
        get(&site, "/graph/day/?format=svg").await.into_body(),
        get(&parts, "/graph/day/?format=svg").await.into_body()
    );
    // A reload makes another probe the sum.
    directory.replace(sums("A"));
    let list = page(&site, "/last/minute/").await;
    let (before_b, _) = list.split_once("/probe/B/").unwrap();
    assert!(list.matches(">sum</span>").count() == 1 && before_b.contains(">sum</span>"), "{list}");
}

#[tokio::test]
async fn what_is_below_a_meter_counts_once() {
    let racks = ["lyon.r3", "lyon.r3.web1", "lyon.r3.web2.psu", "paris"];
    let site = serve(Fixture::of(&racks));
    let tops = serve(Fixture::of(&["lyon.r3", "paris"]));
    let (list, expected) = (page(&site, "/last/minute/").await, page(&tops, "/last/minute/").await);
    let watts = |text: &str| {
        let (_, rest) = text.split_once("<h1>").unwrap();
        rest.split_once("</h1>").unwrap().0.to_owned()
    };
    assert_eq!(watts(&list), watts(&expected));
    assert!(list.contains("<strong>3.000 kWh</strong>"), "1.5 kWh each of the rack and of Paris: {list}");
    assert!(list.contains("4 of 4 probes reporting"), "{list}");
    // A meter that is silent measures nothing: those below it count.
    let mut fixture = Fixture::of(&racks);
    fixture.silent.insert("lyon.r3");
    let list = page(&serve(fixture), "/last/minute/").await;
    let expected =
        page(&serve(Fixture::of(&["lyon.r3.web1", "lyon.r3.web2.psu", "paris"])), "/last/minute/").await;
    assert_eq!(watts(&list), watts(&expected));
}

#[tokio::test]
async fn in_the_summary_a_meter_is_the_whole_of_what_is_below_it() {
    use super::super::graphs::Graphs;
    use super::super::overview::Probes;
    let names = ["a", "a.b", "a.b.x", "a.b.y", "a.c", "z"];
    let directory = Directory::default().with_history(Arc::new(Fixture::of(&names)));
    let now = Timestamp::from_seconds(NOW);
    let graphs = Graphs::new(directory.clone(), settings());
    let seen = Probes::new(directory.clone()).seen(&crate::scope::Scope::All);
    let stacked = graphs.sum(&seen, Period::Hour, now).stacked;
    let row = |name: &str, row: usize| {
        let series = directory.fetch(&ProbeId::new(name).unwrap(), Period::Hour, NOW).unwrap().unwrap();
        series.watts[row]
    };
    let before = stacked.total.watts.len() - Period::Hour.rows();
    let is_same = |one: f64, other: f64| (one - other).abs() < 1e-9;
    let (mut compared, mut exceeded) = (0, 0);
    for index in 0..300 {
        let values = names.map(|name| row(name, index));
        let [Some(whole), Some(inner), Some(first), Some(second), Some(beside), Some(alone)] = values else {
            continue;
        };
        assert!(is_same(stacked.total.watts[before + index].unwrap(), whole + alone), "{index}: {values:?}");
        let drawn = names.map(|name| {
            let band = stacked.bands.iter().find(|band| band.name == name).unwrap();
            band.watts[before + index].unwrap()
        });
        assert!(is_same(drawn.iter().sum(), whole + alone), "{index}: {drawn:?} of {values:?}");
        assert!(drawn.iter().all(|watts| *watts >= 0.0), "{index}: {drawn:?}");
        // Each in proportion: the whole of a meter is shared by what is below it as those measured.
        let share = (whole / (inner + beside)).min(1.0);
        let share_of_inner = share * (inner / (first + second)).min(1.0);
        let expected = [
            (whole - inner - beside).max(0.0),
            (inner - first - second).max(0.0) * share,
            first * share_of_inner,
            second * share_of_inner,
            beside * share,
            alone,
        ];
        assert!(
            drawn.iter().zip(expected).all(|(one, other)| is_same(*one, other)),
            "{index}: {drawn:?} {expected:?}"
        );
        compared += 1;
        exceeded += usize::from(share < 1.0);
    }
    assert!(compared > 100 && exceeded > 10, "{compared} {exceeded}");
}

#[tokio::test]
async fn above_a_dozen_the_summary_stacks_groups_and_each_probe_has_the_colour_of_its_own() {
    let names: Vec<String> = (0..40).map(|probe| format!("lyon.r{}<i>.n-{probe}", probe % 4)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shown = page(&serve(Fixture::of(&names)), "/last/hour/").await;
    let bands: Vec<&str> = shown
        .split("id=\"bands\"")
        .nth(1)
        .unwrap()
        .split("</ul>")
        .next()
        .unwrap()
        .split("<li>")
        .skip(1)
        .collect();
    assert_eq!(bands.len(), 4, "{bands:?}");
    let fill = |text: &str| text.split("fill=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let card = |name: &str| {
        let (before, _) = shown.split_once(&format!("title=\"{name}\"")).unwrap();
        fill(before.rsplit("<article").next().unwrap())
    };
    let band = bands.iter().find(|band| band.contains(">lyon.r1&#60;i&#62;</a>")).unwrap();
    assert!(band.contains("href=\"/groups/?in=lyon.r1%3Ci%3E\""), "{band}");
    assert_eq!(fill(band), card("lyon.r1&#60;i&#62;.n-1"));
    assert_eq!(card("lyon.r1&#60;i&#62;.n-5"), card("lyon.r1&#60;i&#62;.n-1"));
    assert_ne!(card("lyon.r2&#60;i&#62;.n-2"), card("lyon.r1&#60;i&#62;.n-1"));
    assert!(!shown.contains("others in grey") && !shown.contains("<i>"), "{shown}");
    // A dozen stand each for itself.
    assert!(!page(&serve(Fixture::of(&names[..12])), "/last/hour/").await.contains("id=\"bands\""));
}

#[tokio::test]
async fn bands_that_exceed_the_total_have_a_note_with_the_excess_and_the_cause() {
    let of = |meters: &[&str], others: usize| {
        let others = (0..others).flat_map(|at| [format!("l.r.{at}"), format!("l.s.{at}")]);
        meters.iter().map(|name| (*name).to_owned()).chain(others).collect::<Vec<String>>()
    };
    let shown = async |names: Vec<String>| {
        let lab = kwapi_peers::Lab::empty();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        page(&super::ranges::pages_of(&lab, &names), "/last/day/").await
    };
    let energies = |text: &str| -> Vec<f64> {
        let bands = text.split("id=\"bands\"").nth(1).unwrap().split("</ul>").next().unwrap();
        let of_one =
            |band: &str| band.rsplit("</a> ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
        bands.split("</li>").filter(|band| band.contains("</a> ")).map(of_one).collect()
    };
    // Seven probes that used each what their meter did.
    let exceeded = shown(of(&["l.r"], 7)).await;
    let [more, less] = energies(&exceeded)[..] else { panic!("{exceeded}") };
    assert!((more - less).abs() < 1e-9, "{more} {less}");
    let excess = kwapi_graph::energy_text(more / 7.0 * 6.0);
    assert!(exceeded.contains(&format!("add up to {excess} more than the total")), "{excess} in {exceeded}");
    assert!(exceeded.contains("href=\"/where/?period=day&amp;show=energy\""), "{exceeded}");
    assert!(!shown(of(&[], 7)).await.contains("more than the total"));
}

/// What the pages of these probes show about a demonstration.
async fn check_demonstration(names: &[&str], expected: Option<&str>) {
    let site = serve(Fixture::of(names));
    for path in ["/last/minute/".to_owned(), format!("/probe/{}/", names[0])] {
        let shown = page(&site, &path).await;
        assert_eq!(
            shown.matches("class=\"demonstration\"").count(),
            usize::from(expected.is_some()),
            "{path}"
        );
        assert!(expected.is_none_or(|words| shown.contains(words)), "{path}: {shown}");
    }
}

#[tokio::test]
async fn a_demonstration_is_labelled_as_one() {
    check_demonstration(&["demo.1", "demo.2"], Some("the servers shown are simulated")).await;
    check_demonstration(&["demo.1", "laptop"], Some("the probes marked “simulated” are not real servers"))
        .await;
    check_demonstration(&["laptop", "demonstrator"], None).await;
}

#[tokio::test]
async fn nothing_measured_yet_is_reported() {
    let list = page(&serve(Fixture::of(&[])), "/last/minute/").await;
    assert!(list.contains("Waiting for the first measurement") && list.contains("No data yet"), "{list}");
}

#[tokio::test]
async fn a_hundred_thousand_probes_use_the_same_page() {
    let mut fixture = Fixture::of(&[]);
    fixture.probes = (0..100_000).map(|n| ProbeId::new(format!("node-{n}")).unwrap()).collect();
    let few = Fewer(fixture);
    let clock = few.0.clock();
    let site = router(Directory::default().with_history(Arc::new(few)), settings(), clock, None);
    let list = page(&site, "/last/hour/").await;
    assert!(list.contains("100000 of 100000 probes reporting"), "totals are over all");
    assert_eq!(list.matches("<article").count(), 24);
    assert!(list.len() < 400_000, "{} bytes", list.len());
    assert!(list.contains("Page 1 of 4167"));
    let last = page(&site, "/last/hour/?page=99999").await;
    assert!(last.contains("Page 4167 of 4167") && last.contains("node-99999"));
    let found = page(&site, "/last/hour/?q=NODE-4242").await;
    assert_eq!(found.matches("<article").count(), 11, "node-4242 and node-42420 to node-42429");
}

/// A fixture whose lookups do not search a list: they are what a real store's are.
struct Fewer(Fixture);

impl PowerHistory for Fewer {
    fn probes(&self) -> Vec<ProbeId> {
        self.0.probes()
    }
    fn fetch(&self, _: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable> {
        let step = period.step_seconds();
        let start = now / step * step - step * period.rows() as u64;
        Ok(Some(Series::whole(start, step, vec![Some(100.0); period.rows()])))
    }
    fn extremes(&self, _: &ProbeId, _: Period, _: u64) -> Option<(Watts, Watts)> {
        None
    }
    fn rrd_file(&self, _: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable> {
        Ok(None)
    }
    fn last(&self, _: &ProbeId) -> Option<Latest> {
        Some(Latest { at: Timestamp::from_seconds(NOW), power: Watts(100.0) })
    }
}

async fn choose(site: &Router, cookie: &str, form: &str) -> Response<Bytes> {
    let request = Request::builder().method("POST").uri("/choose/").header("cookie", cookie);
    let request = request.body(Body::from(form.to_owned())).unwrap();
    let (parts, _) = site.clone().oneshot(request).await.unwrap().into_parts();
    Response::from_parts(parts, Bytes::new())
}

#[tokio::test]
async fn chosen_probes_are_kept_in_a_cookie_and_shown_first() {
    let site = site();
    let answer = choose(&site, "", "probe=a%2Fb&back=%2Flast%2Fhour%2F").await;
    assert_eq!((answer.status(), header_of(&answer, "location")), (StatusCode::SEE_OTHER, "/last/hour/"));
    let cookie = header_of(&answer, "set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(cookie, "kwapi-chosen=a%2Fb");
    let answer = choose(&site, &cookie, "probe=A").await;
    let cookie = header_of(&answer, "set-cookie").split(';').next().unwrap().to_owned();

    let with_cookie = async |path: &str| {
        let answer = send(&site, "GET", path, &[("cookie", cookie.as_str())]).await;
        String::from_utf8(answer.into_body().to_vec()).unwrap().matches("<article").count()
    };
    assert_eq!(with_cookie("/last/hour/").await, 2);
    assert_eq!(with_cookie("/last/hour/?show=all").await, 8);
    assert_eq!(with_cookie("/last/hour/?q=C.1").await, 1);

    let answer = choose(&site, &cookie, "probe=a%2Fb&back=https://example.org/").await;
    assert!(header_of(&answer, "set-cookie").starts_with("kwapi-chosen=A;"));
    assert_eq!(header_of(&answer, "location"), "/last/minute/");
}

#[tokio::test]
async fn a_cookie_never_outgrows_what_a_browser_keeps() {
    let site = site();
    let mut cookie = String::new();
    for n in 0..100 {
        let answer = choose(&site, &cookie, &format!("probe={}{n}", "%F0%9F%94%8C".repeat(20))).await;
        cookie = header_of(&answer, "set-cookie").split(';').next().unwrap().to_owned();
        assert!(cookie.len() < 4_000, "{}", cookie.len());
    }
    assert!(cookie.ends_with("99"), "the newest is kept");
}
