// Renews an open page without flicker, and reads values off its graphs. The page is whole without this.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh) || 5;
  const zone = document.body.dataset.zone || undefined;
  const stale = document.getElementById("stale");
  let renewed = Date.now();

  // Fetches this very page and takes over each live part that has changed. A part under the pointer keeps its cursor.
  const renew = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(30000) });
    // The login has ended: there is nothing here to be renewed.
    if (answer.redirected && new URL(answer.url).pathname === "/login/") return location.assign(answer.url);
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const ids = (root) => [...root.querySelectorAll("[data-live]")].map((part) => part.id).join("\n");
    if (ids(fresh) !== ids(document)) {
      document.getElementById("content").replaceWith(fresh.getElementById("content"));
    } else {
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        hideCursor(part);
        if (other && other.innerHTML !== part.innerHTML) part.innerHTML = other.innerHTML;
        if (other && other.className !== part.className) part.className = other.className;
        const card = part.closest(".card"), otherCard = other && other.closest(".card");
        if (card && otherCard) card.className = otherCard.className;
      }
      if (pointer) showCursor(pointer);
    }
    renewed = Date.now();
    stale.hidden = true;
  };

  const turn = async () => {
    const isTyping = document.activeElement && document.activeElement.matches("input");
    if (!document.hidden && !isTyping) {
      try {
        await renew();
      } catch {
        stale.textContent = `Not updated for ${Math.round((Date.now() - renewed) / 1000)} s`;
        stale.hidden = false;
      }
    }
    setTimeout(turn, seconds * 1000);
  };
  setTimeout(turn, seconds * 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - renewed > seconds * 1000) renew().catch(() => {});
  });

  // A cursor that reads the row under the pointer.
  let pointer = null;
  const time = (at, step) => {
    const format = { hour: "2-digit", minute: "2-digit", timeZone: zone };
    if (step < 60) format.second = "2-digit";
    if (step >= 900) Object.assign(format, { weekday: "short", day: "numeric", month: "short" });
    return new Intl.DateTimeFormat("en-GB", format).format(new Date(at * 1000));
  };
  const power = (watts) => watts < 1e5 ? `${watts.toFixed(1)} W` : `${(watts / 1e3).toFixed(1)} kW`;
  const hideCursor = (root) => root.querySelectorAll(".kw-cursor, .reading").forEach((part) => part.remove());
  const showCursor = ({ x, y }) => {
    const over = document.elementFromPoint(x, y);
    const svg = over && over.closest(".kw-graph[data-plot]");
    hideCursor(document);
    if (!svg) return;
    const [left, right, top, bottom, start, end] = svg.dataset.plot.split(" ").map(Number);
    const [first, step] = svg.dataset.rows.split(" ").map(Number);
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const at = (x - box.left) * scale;
    if (at < left || at > right) return;
    const instant = start + (at - left) / (right - left) * (end - start);
    const row = Math.floor((instant - first) / step);
    const text = svg.dataset.watts.split(",")[row];
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", "kw-cursor");
    line.setAttribute("d", `M${at.toFixed(1)} ${top}V${bottom}`);
    svg.append(line);
    const reading = document.createElement("span");
    reading.className = "reading";
    reading.textContent = `${text ? power(Number(text)) : "unknown"} · ${time(first + row * step, step)}`;
    svg.parentElement.append(reading);
    const half = reading.offsetWidth / 2;
    reading.style.left = `${Math.max(0, Math.min(box.width - 2 * half, at / scale - half))}px`;
  };
  document.addEventListener("pointermove", (event) => {
    pointer = { x: event.clientX, y: event.clientY };
    showCursor(pointer);
  }, { passive: true });
  document.addEventListener("pointerleave", () => { pointer = null; hideCursor(document); });

  document.documentElement.dataset.script = "on";
})();
