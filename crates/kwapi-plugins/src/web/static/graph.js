// Reads values off a page's graphs, by pointer and by keyboard, and leads to the range that is chosen on one. What a graph shows
// stands in its data attributes; a container with data-graph takes keys, and ranges where that names whose.
"use strict";
(() => {
  const zone = document.body.dataset.zone || undefined;
  // The moment that is held: its container, its row, where a range began, where the pointer is.
  let held = null;
  let pointer = null;
  let drag = null;

  const spoken = document.createElement("p");
  spoken.className = "spoken";
  spoken.id = "spoken";
  spoken.setAttribute("aria-live", "polite");
  document.body.append(spoken);
  let words = "", waits = false;
  // At most four times a second: a held key would fill a reader's queue.
  const announce = (text) => {
    words = text;
    if (waits) return;
    waits = true;
    spoken.textContent = words;
    setTimeout(() => { waits = false; if (spoken.textContent !== words) announce(words); }, 250);
  };

  // Containers are stops of the keyboard, since there the arrow keys mean something.
  const prepare = () => {
    for (const graph of document.querySelectorAll("[data-graph]")) {
      const svg = graph.querySelector(".kw-graph[data-plot]");
      if (!svg) continue;
      graph.tabIndex = 0;
      graph.setAttribute("role", "application");
      graph.setAttribute("aria-roledescription", "graph");
      graph.setAttribute("aria-label", svg.getAttribute("aria-label"));
    }
  };

  const rowsOf = (svg) => {
    const [left, right, top, bottom, start, end] = svg.dataset.plot.split(" ").map(Number);
    const [first, step] = svg.dataset.rows.split(" ").map(Number);
    const values = (text) => text === undefined ? [] : text.split(",");
    const watts = values(svg.dataset.watts);
    return {
      left, right, top, bottom, start, end, first, step, watts,
      least: values(svg.dataset.least), most: values(svg.dataset.most), status: svg.dataset.status || "",
      shares: values(svg.dataset.shares),
      lowest: Math.max(0, Math.floor((start - first) / step)),
      highest: Math.min(watts.length, Math.ceil((end - first) / step)) - 1,
      from: (row) => Math.max(start, first + row * step),
      to: (row) => Math.min(end, first + (row + 1) * step),
      x: (at) => left + (at - start) / (end - start) * (right - left),
    };
  };

  const time = (at, step) => {
    const format = { hour: "2-digit", minute: "2-digit", timeZone: zone };
    if (step < 60) format.second = "2-digit";
    if (step >= 900) Object.assign(format, { weekday: "short", day: "numeric", month: "short" });
    return new Intl.DateTimeFormat("en-GB", format).format(new Date(at * 1000));
  };
  const power = (watts) => watts < 1e5 ? `${watts.toFixed(1)} W` : `${(watts / 1e3).toFixed(1)} kW`;
  const aloud = (watts) => watts < 1e5 ? `${watts.toFixed(1)} watts` : `${(watts / 1e3).toFixed(1)} kilowatts`;

  // What a row holds, as shown and as announced.
  const reading = (rows, row) => {
    const value = (texts) => texts[row] ? Number(texts[row]) : null;
    const [mean, least, most] = [rows.watts, rows.least, rows.most].map(value);
    const span = `${time(rows.from(row), rows.step)} to ${time(rows.to(row), rows.step)}`;
    const bridged = "bridged: its course is not known";
    if (mean === null && rows.status[row] === "b") return { seen: `bridged · ${time(rows.from(row), rows.step)}`, announced: `${span}, ${bridged}` };
    if (mean === null && rows.status[row] === "a") return { seen: "no message", announced: `${span}, before the first or after the last message` };
    if (mean === null) return { seen: `unknown · ${time(rows.from(row), rows.step)}`, announced: `${span}, unknown` };
    const isEstimated = rows.status[row] === "e";
    // Of a sum, what its power lacks.
    const lacking = { u: "unknown", b: "bridged" }[rows.status[row]];
    const lack = lacking ? `, ${rows.shares[row] ? `${rows.shares[row]} % ` : ""}${lacking}` : "";
    const ends = !isEstimated && least !== null && least < most;
    return {
      seen: `${power(mean)}${ends ? ` (${power(least)} – ${power(most)})` : ""}${isEstimated ? ", estimated" : ""}${lack} · ${time(rows.from(row), rows.step)}`,
      announced: `${span}, average ${aloud(mean)}${ends ? `, lowest ${aloud(least)}, highest ${aloud(most)}` : ""}${isEstimated ? ", estimated" : ""}${lack}`,
    };
  };

  const clear = (root) => root.querySelectorAll(".kw-cursor, .kw-chosen, .reading").forEach((part) => part.remove());
  const path = (svg, name, d) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", name);
    line.setAttribute("d", d);
    svg.append(line);
  };

  // Draws the cursor at a row, and what is chosen from `anchor` on. Returns what to announce.
  const show = (svg, row, anchor, at) => {
    const rows = rowsOf(svg);
    const shown = reading(rows, row);
    let { seen, announced } = shown;
    if (anchor !== null && anchor !== row) {
      const [from, to] = chosen(rows, anchor, row);
      const [left, right] = [rows.x(from), rows.x(to)].map((x) => x.toFixed(1));
      path(svg, "kw-chosen", `M${left} ${rows.top}H${right}V${rows.bottom}H${left}Z`);
      seen = `${time(from, rows.step)} – ${time(to, rows.step)}`;
      announced = `selected: ${time(from, rows.step)} to ${time(to, rows.step)}`;
    }
    const x = at ?? rows.x((rows.from(row) + rows.to(row)) / 2);
    path(svg, "kw-cursor", `M${x.toFixed(1)} ${rows.top}V${rows.bottom}`);
    const note = document.createElement("span");
    note.className = "reading";
    note.setAttribute("aria-hidden", "true");
    note.textContent = seen;
    svg.parentElement.append(note);
    const box = svg.getBoundingClientRect(), half = note.offsetWidth / 2;
    const pixel = x * box.width / svg.viewBox.baseVal.width;
    note.style.left = `${Math.max(0, Math.min(box.width - 2 * half, pixel - half))}px`;
    return announced;
  };
  const chosen = (rows, anchor, row) => [rows.from(Math.min(anchor, row)), rows.to(Math.max(anchor, row))];

  // The graph and the row under the pointer; `svg` is that of a drag, which may leave it.
  const under = ({ x, y }, svg) => {
    const over = svg || document.elementFromPoint(x, y)?.closest(".kw-graph[data-plot]");
    if (!over || !over.isConnected) return null;
    const rows = rowsOf(over), box = over.getBoundingClientRect();
    let at = (x - box.left) * over.viewBox.baseVal.width / box.width;
    if (svg) at = Math.max(rows.left, Math.min(rows.right, at));
    if (at < rows.left || at > rows.right) return null;
    const instant = rows.start + (at - rows.left) / (rows.right - rows.left) * (rows.end - rows.start);
    const row = Math.floor((instant - rows.first) / rows.step);
    return { svg: over, at, row: Math.max(rows.lowest, Math.min(rows.highest, row)) };
  };

  const redraw = () => {
    clear(document);
    if (drag && pointer) {
      const place = under(pointer, drag.svg);
      if (place) { drag.row = place.row; show(place.svg, place.row, drag.anchor, place.at); }
    } else if (held) {
      const svg = held.graph.isConnected && held.graph.querySelector(".kw-graph[data-plot]");
      if (!svg) { held = null; return; }
      const rows = rowsOf(svg);
      held.row = Math.max(rows.lowest, Math.min(rows.highest, held.row));
      return show(svg, held.row, held.anchor);
    } else if (pointer) {
      const place = under(pointer);
      if (place) show(place.svg, place.row, null, place.at);
    }
  };

  // Before the history begins there is no page to lead to.
  const go = (graph, rows, anchor, row) => {
    const isBefore = (at) => !rows.watts[at] && rows.to(at) <= Number(graph.dataset.begin || 0);
    let [first, last] = [Math.min(anchor, row), Math.max(anchor, row)];
    while (first < last && isBefore(first)) first++;
    if (isBefore(last)) return announce("nothing measured in this range");
    const [from, to] = [rows.from(first), rows.to(last)];
    location.assign(`${graph.dataset.graph}?from=${Math.floor(from)}&to=${Math.ceil(to)}`);
  };
  // From a range to where the reader came from, or to its probe.
  const back = (graph) => {
    if (!graph || graph.dataset.back === undefined) return;
    const isOurs = document.referrer && new URL(document.referrer).origin === location.origin;
    if (isOurs && history.length > 1) history.back(); else location.assign(graph.dataset.graph);
  };

  document.addEventListener("pointermove", (event) => {
    pointer = { x: event.clientX, y: event.clientY };
    if (held && !held.graph.contains(document.activeElement)) held = null;
    redraw();
  }, { passive: true });
  document.addEventListener("pointerleave", () => { pointer = null; redraw(); });
  document.addEventListener("pointerdown", (event) => {
    held = null;
    const place = event.isPrimary && event.button === 0 && under({ x: event.clientX, y: event.clientY });
    if (place && place.svg.closest("[data-graph]")?.dataset.graph) {
      drag = { svg: place.svg, anchor: place.row, row: place.row, x: event.clientX };
    }
  });
  document.addEventListener("pointerup", (event) => {
    const done = drag;
    drag = null;
    if (done && done.svg.isConnected && Math.abs(event.clientX - done.x) > 5 && done.row !== done.anchor) {
      go(done.svg.closest("[data-graph]"), rowsOf(done.svg), done.anchor, done.row);
    }
    redraw();
  });
  document.addEventListener("pointercancel", () => { drag = null; redraw(); });
  document.addEventListener("dblclick", (event) => back(event.target.closest?.("[data-graph]")));
  document.addEventListener("focusout", (event) => {
    if (held && held.graph === event.target) { held = null; redraw(); }
  });

  document.addEventListener("keydown", (event) => {
    const graph = event.target.closest?.("[data-graph]");
    const svg = graph?.querySelector(".kw-graph[data-plot]");
    if (!svg || event.ctrlKey || event.altKey || event.metaKey) return;
    const rows = rowsOf(svg);
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    const isChoice = held && held.anchor !== null && held.anchor !== held.row;
    if (step !== undefined) {
      const isNew = !held || held.graph !== graph;
      const before = isNew ? (step < 0 ? rows.highest : rows.lowest) : held.row;
      const moved = isNew && Number.isFinite(step) ? before : before + step;
      const row = Math.max(rows.lowest, Math.min(rows.highest, moved));
      const anchor = event.shiftKey && graph.dataset.graph ? (isNew ? before : held.anchor ?? held.row) : null;
      held = { graph, row, anchor };
      announce(redraw());
    } else if (event.key === "Enter" && isChoice) {
      go(graph, rows, held.anchor, held.row);
    } else if (event.key === "Escape") {
      if (isChoice) { held.anchor = null; announce(redraw()); }
      else if (held) { held = null; redraw(); announce(""); }
      else back(graph);
    } else {
      return;
    }
    event.preventDefault();
  });

  // A page that is renewed compares its parts as the server sent them.
  document.addEventListener("kwapi-renewing", () => clear(document));
  document.addEventListener("kwapi-renewed", () => { prepare(); redraw(); });
  prepare();
})();
