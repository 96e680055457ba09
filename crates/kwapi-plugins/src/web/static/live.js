// Shows in place what the probes of a page measure, as the stream delivers it (stream.js), and how the connection stands. What to
// fill in is marked: data-now (the id of a probe), data-node (a group) or data-total on a part of the page, data-value on what changes in it. The
// words are those of the server, which writes them first.
"use strict";
(() => {
  const zone = document.body.dataset.zone || undefined;
  const line = document.getElementById("live");
  const spoken = document.getElementById("stale");
  const version = new URL(document.currentScript.src).search;
  // What is known of probes, and how far the server's clock is ahead of this one.
  let probes = {}, nodes = {}, total = null, ahead = 0, receivedAt = 0;
  // Since when there is no connection, for whom it is announced, and whether it has been.
  let lost = null, isAnnounced = false, state = "waiting";
  let worker = null;
  const inView = new Set();

  const grouped = (value, decimals) => {
    const [whole, fraction] = value.toFixed(decimals).split(".");
    const digits = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u00a0") : whole;
    return fraction ? `${digits}.${fraction}` : digits;
  };
  const power = (watts) => watts < 1e5 ? `${grouped(watts, 1)} W` : watts < 1e8 ? `${grouped(watts / 1e3, 1)} kW` : `${grouped(watts / 1e6, 1)} MW`;
  const energy = (kwh) => kwh < 1 ? `${kwh.toFixed(4)} kWh` : kwh < 100 ? `${kwh.toFixed(3)} kWh` : kwh < 1e6 ? `${grouped(kwh, 1)} kWh` : `${grouped(kwh / 1e3, 1)} MWh`;
  // As a column has it, whose unit stands in its head.
  const amount = (watts, [size, decimals]) => {
    const least = 10 ** -decimals;
    return watts > 0 && watts / size < least / 2 ? `< ${grouped(least, decimals)}` : grouped(watts / size, decimals);
  };
  const server = () => Date.now() / 1000 + ahead;
  const age = (at) => {
    const s = Math.max(0, Math.floor(server() - at));
    return s < 2 ? "just now" : s < 120 ? `${s} s ago` : s < 7200 ? `${Math.floor(s / 60)} min ago`
      : s < 172800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86400)} days ago`;
  };
  const time = (at, format) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...format }).format(new Date(at * 1000));
  const clock = (at) => time(at, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = (at) => time(at, { year: "numeric", month: "short", day: "numeric" });

  const set = (part, text) => { if (part && part.textContent !== text) part.textContent = text; };
  const value = (part, name) => part.querySelector(`[data-value=${name}]`);

  const show = (part) => {
    const probe = probes[part.dataset.now];
    if (!probe) return;
    const watts = value(part, "watts") ?? part.querySelector("b");
    if (watts) {
      const column = part.closest("[data-column]")?.dataset.column.split(" ").map(Number);
      const { silent = "silent", silentClass = "none" } = watts.dataset;
      set(watts, probe.w === undefined ? silent : column ? amount(probe.w, column) : power(probe.w));
      watts.classList.toggle(silentClass, probe.w === undefined);
    }
    const since = value(part, "age");
    if (since) set(since, `${probe.silent ? since.dataset.silent ?? "" : ""}${age(probe.timestamp)}`);
    if (!probe.silent && day(probe.timestamp) === day(server())) set(value(part, "at"), clock(probe.timestamp));
    if (probe.kwh !== undefined) set(value(part, "energy")?.querySelector("strong"), energy(probe.kwh));
  };

  // A group comes in the words of its page.
  const showNode = (part) => {
    const node = nodes[part.dataset.node];
    if (!node) return;
    for (const name of ["watts", "known", "reporting", "energy", "cost", "beside"]) {
      const shown = value(part, name);
      if (!shown) continue;
      // Probes have come or gone, or fallen silent: the page has more to show than numbers.
      const isOther = name === "reporting" && shown.textContent !== node[name];
      if (isOther || (name === "watts" && (node.watts === undefined) !== (shown.textContent === (shown.dataset.silent ?? "–")))) refetch();
      set(shown, node[name] ?? shown.dataset.silent ?? "–");
      if (name === "watts" && shown.dataset.silent) shown.classList.toggle("none", node.watts === undefined);
      if (name === "known") shown.classList.toggle("warn", !node.whole);
    }
    const [energy, cost] = value(part, "total")?.querySelectorAll("strong") ?? [];
    if (node.energy) set(energy, node.energy);
    if (node.cost) set(cost, node.cost);
  };

  const showTotal = (part) => {
    if (!total) return;
    // Probes have come or gone: the page has others to show.
    if (part.dataset.total !== `${total.reporting} ${total.probes}`) refetch();
    const column = part.closest("[data-column]")?.dataset.column.split(" ").map(Number);
    if (total.w !== null) set(value(part, "watts"), column ? amount(total.w, column) : power(total.w));
  };

  const showAll = () => {
    document.querySelectorAll("[data-now]").forEach(show);
    document.querySelectorAll("[data-node]").forEach(showNode);
    document.querySelectorAll("[data-total]").forEach(showTotal);
  };

  // Has the page renewed by its own script, since more has changed than numbers: soon, or at once.
  const refetch = (isUrgent = false) => document.dispatchEvent(new CustomEvent("kwapi-wanted", { detail: isUrgent }));

  // How the connection stands: for eyes each second, for ears when it changes. A break of a moment is none.
  const tellState = () => {
    const seconds = lost === null ? 0 : Math.round((Date.now() - lost) / 1000);
    const isLost = seconds >= 3;
    line.classList.toggle("lost", isLost);
    if (isLost) set(line, `Not connected for ${seconds} s, trying again`);
    else if (state === "open") set(line, receivedAt ? `Live, ${clock(receivedAt)}` : "Connected, waiting");
    else if (line.textContent.startsWith("Not") || line.textContent.startsWith("Live")) set(line, `As of ${clock(receivedAt || server())}`);
    if (isLost !== isAnnounced) set(spoken, isLost ? "Connection lost, trying again." : "Connected again.");
    isAnnounced = isLost;
  };

  const listen = ({ data }) => {
    if (data.type === "state") {
      state = data.state;
      lost = state === "lost" ? data.since : null;
      if (state !== "open") [probes, nodes, total, receivedAt] = [{}, {}, null, 0];
      // Whoever has no login any more is led to it.
      if (state === "ended") refetch(true);
    } else {
      ahead = data.at - Date.now() / 1000;
      receivedAt = data.at;
      const isSilent = (id) => probes[id] !== undefined && Boolean(probes[id].silent) !== Boolean(data.probes[id].silent);
      if (Object.keys(data.probes).some(isSilent)) refetch();
      Object.assign(probes, data.probes);
      Object.assign(nodes, data.nodes);
      total = data.total ?? total;
      showAll();
    }
    document.documentElement.dataset.live = state;
    tellState();
  };

  const connect = () => {
    const address = `/static/stream.js${version}`;
    const own = () => {
      worker = new Worker(address);
      worker.onmessage = listen;
    };
    if (!window.SharedWorker) return own();
    const shared = new SharedWorker(address, { name: "kwapi" });
    shared.onerror = () => { own(); want(); };
    worker = shared.port;
    worker.onmessage = listen;
  };

  // Sends what is to be seen of this page; nothing, when nobody sees it. Timers of hidden pages are slow.
  let waits = 0;
  const tellWants = () => {
    const seen = (name) => document.hidden ? [] : [...new Set([...inView].map((part) => part.dataset[name]))].filter((id) => id !== undefined);
    const [ids, shownNodes] = [seen("now"), seen("node")];
    const hasTotal = !document.hidden && document.querySelector("[data-total]") !== null;
    if (!worker && (ids.length || shownNodes.length || hasTotal)) connect();
    worker?.postMessage({ ids, nodes: shownNodes, total: hasTotal });
  };
  const want = () => {
    clearTimeout(waits);
    if (document.hidden) tellWants();
    else waits = setTimeout(tellWants, 100);
  };

  const observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) inView[isIntersecting ? "add" : "delete"](target);
    want();
  }, { rootMargin: "100px" });
  const observe = () => {
    observer.disconnect();
    inView.clear();
    document.querySelectorAll("[data-now], [data-node]").forEach((part) => observer.observe(part));
    want();
  };

  document.addEventListener("visibilitychange", want);
  window.addEventListener("pagehide", () => worker?.postMessage({ ids: [], nodes: [], total: false }));
  window.addEventListener("pageshow", want);
  document.addEventListener("kwapi-renewed", ({ detail }) => {
    if (state !== "open") {
      if (state !== "lost") lost = null;
      set(line, detail);
    }
    showAll();
    observe();
    tellState();
  });
  document.addEventListener("kwapi-not-renewed", () => {
    if (state !== "open") lost ??= Date.now();
    tellState();
  });
  setInterval(() => {
    if (document.hidden) return;
    if (state === "open") showAll();
    tellState();
  }, 1000);
  // A tab that sends nothing is taken to be gone.
  setInterval(() => { if (!document.hidden && worker) want(); }, 5000);
  observe();
})();
