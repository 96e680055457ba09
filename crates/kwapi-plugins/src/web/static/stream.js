// A worker that holds the one event stream of this browser, for the tabs that are looked at. Each sends which probes it shows
// ("want"); the stream is of those of all tabs together. Tabs are sent what it delivers ("news"), and how it stands ("state"):
// waiting, open, lost since when, refused, or ended with the login. Without SharedWorker each tab has one of its own.
"use strict";

const PROBES_MAX = 200;
// Proxies take addresses of 8 KB.
const QUERY_MAX = 7000;
// A tab that has sent no sign of life for so long is gone; a stream that sends nothing for so long is lost.
const GONE_MS = 20000;
const SILENT_MS = 15000;

const tabs = new Map();
let now = { query: "", running: null };
let probes = {}, nodes = {}, total = null, at = 0;
let state = { type: "state", state: "waiting", since: Date.now() };
let planned = 0;

const broadcast = (message) => { for (const tab of tabs.keys()) tab.postMessage(message); };
const become = (name, since) => {
  if (state.state === name) return;
  state = { type: "state", state: name, since: since ?? Date.now() };
  broadcast(state);
};

// What all tabs show, the latest first, as far as it fits into an address.
const wanted = () => {
  const members = new Set();
  let length = 0, hasTotal = false;
  for (const tab of [...tabs.values()].reverse()) {
    hasTotal ||= tab.total;
    const own = [...tab.nodes.map((node) => `node=${encodeURIComponent(node)}`), ...tab.ids.map((id) => `id=${encodeURIComponent(id)}`)];
    for (const member of own) {
      const more = member.length + 1;
      if (members.has(member) || members.size >= PROBES_MAX || length + more > QUERY_MAX) continue;
      members.add(member);
      length += more;
    }
  }
  return [...[...members].sort(), ...(hasTotal ? ["total"] : [])].join("&");
};

const plan = () => {
  clearTimeout(planned);
  planned = setTimeout(() => {
    const query = wanted();
    if (query === now.query) return;
    now.running?.abort();
    now = { query, running: query ? new AbortController() : null };
    [probes, nodes, total] = [{}, {}, null];
    if (query) {
      if (state.state !== "lost" && state.state !== "open") become("waiting");
      run(`/stream/?${query}`, now.running);
    } else {
      become("waiting");
    }
  }, 150);
};

const pause = (ms, signal) => new Promise((resume) => {
  const timer = setTimeout(resume, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resume(); }, { once: true });
});

// Keeps one stream until it is stopped. After a break it requests what has changed since the last event it had.
const run = async (address, running) => {
  const stopped = running.signal;
  let last = null, wait = 1000, lost = null;
  while (!stopped.aborted) {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    stopped.addEventListener("abort", end, { once: true });
    let watch = setTimeout(end, SILENT_MS);
    const noteReceived = () => {
      clearTimeout(watch);
      watch = setTimeout(end, SILENT_MS);
      [wait, lost] = [1000, null];
      become("open");
    };
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const answer = await fetch(address, { headers, cache: "no-store", signal: attempt.signal });
      if (answer.ok) {
        await read(answer.body.getReader(), noteReceived, (id, data) => {
          if (stopped.aborted) return;
          last = id;
          take(JSON.parse(data));
        });
      } else {
        const isOver = answer.status === 401 || answer.status === 403;
        const isRefused = answer.status === 429 || answer.status === 503;
        if (!stopped.aborted) become(isOver ? "ended" : isRefused ? "refused" : "lost");
        wait = isOver || isRefused ? 30000 : Math.min(wait * 2, 30000);
      }
    } catch {
      if (!stopped.aborted) wait = Math.min(wait * 1.5, 10000);
    }
    clearTimeout(watch);
    stopped.removeEventListener("abort", end);
    if (stopped.aborted) return;
    lost ??= Date.now();
    if (state.state === "open" || state.state === "waiting") become("lost", lost);
    // Not all at once, when a server comes back.
    await pause(wait * (0.5 + Math.random() / 2), stopped);
  }
};

const read = async (reader, noteReceived, event) => {
  const decoder = new TextDecoder();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    noteReceived();
    text += decoder.decode(value, { stream: true });
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = text.slice(0, end).split("\n").map((line) => line.split(/: ?(.*)/s));
      const field = (name) => fields.find(([key]) => key === name)?.[1];
      if (field("data")) event(field("id"), field("data"));
    }
  }
};

const take = (news) => {
  at = news.timestamp;
  Object.assign(probes, news.probes);
  Object.assign(nodes, news.nodes);
  total = news.total ?? total;
  broadcast({ type: "news", at, probes: news.probes, nodes: news.nodes ?? {}, total: news.total ?? null });
};

// What a tab sends: what it shows (nothing, when nobody looks at it).
const onTab = (tab, { ids, nodes: shown, total: hasTotal }) => {
  const before = tabs.get(tab), isNew = before === undefined;
  const isSame = (one, other) => one.join("\n") === other.join("\n");
  if (before && before.total === hasTotal && isSame(before.ids, ids) && isSame(before.nodes, shown)) {
    before.receivedAt = Date.now();
    return;
  }
  tabs.delete(tab);
  tabs.set(tab, { ids, nodes: shown, total: hasTotal, receivedAt: Date.now() });
  if (isNew) {
    tab.postMessage(state);
    const known = (wanted, of) => Object.fromEntries(wanted.filter((id) => id in of).map((id) => [id, of[id]]));
    const news = { type: "news", at, probes: known(ids, probes), nodes: known(shown, nodes), total };
    if (Object.keys(news.probes).length || Object.keys(news.nodes).length || total) tab.postMessage(news);
  }
  // Somebody may have logged in meanwhile.
  if (isNew && (state.state === "ended" || state.state === "refused")) now.query = "";
  if (!ids.length && !shown.length && !hasTotal) tabs.delete(tab);
  plan();
};

setInterval(() => {
  for (const [tab, { receivedAt }] of tabs) if (Date.now() - receivedAt > GONE_MS) tabs.delete(tab);
  plan();
}, GONE_MS / 2);

if ("onconnect" in self) {
  self.onconnect = ({ ports: [tab] }) => { tab.onmessage = ({ data }) => onTab(tab, data); };
} else {
  self.onmessage = ({ data }) => onTab(self, data);
}
