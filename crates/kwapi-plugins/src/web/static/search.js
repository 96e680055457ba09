// Shows what matches while one types in the field of the head. Without this the field leads to a page that shows the same.
"use strict";
(() => {
  const form = document.getElementById("find");
  if (!form) return;
  const input = form.querySelector("input"), list = document.getElementById("found"), count = document.getElementById("found-count");
  let turns = 0, timer = 0;

  const hide = () => { turns += 1; list.hidden = true; list.replaceChildren(); count.textContent = ""; };

  const item = (name, kind, href) => {
    const line = document.createElement("li"), link = document.createElement("a"), what = document.createElement("span");
    link.href = href; link.textContent = name; what.textContent = kind;
    line.append(link, what);
    return line;
  };

  const show = async () => {
    const text = input.value.trim(), turn = ++turns;
    if (!text) return hide();
    const query = encodeURIComponent(text);
    const answer = await fetch(`/search/?format=json&q=${query}`, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok || turn !== turns) return;
    const { found, more } = await answer.json();
    // What was typed since is on its way.
    if (turn !== turns) return;
    list.replaceChildren(...found.map(({ name, kind, href }) => item(name, kind, href)));
    if (more > 0) list.append(item(`${more} more`, "probes", `/table/day/?q=${query}`));
    count.textContent = found.length === 0 ? "Nothing matches" : `${found.length + more} match`;
    list.hidden = found.length === 0;
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => show().catch(hide), 120);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { hide(); input.focus(); return; }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || list.hidden) return;
    const stops = [input, ...list.querySelectorAll("a")];
    const next = stops[stops.indexOf(document.activeElement) + step];
    if (next) { event.preventDefault(); next.focus(); }
  });
  form.addEventListener("focusout", (event) => { if (!form.contains(event.relatedTarget)) hide(); });
  document.addEventListener("keydown", (event) => {
    const isField = event.target instanceof Element && event.target.closest("input, textarea, select");
    if (event.key !== "/" || isField || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
})();
