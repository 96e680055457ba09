// Renews an open page without flicker: what no stream sends of it, such as graphs and which probes there are. The page is whole
// without this.
"use strict";
(() => {
  // How often, and how often while live.js shows the numbers: graphs of a day do not change each second.
  const [often, seldom] = document.body.dataset.refresh.split(" ").map((seconds) => Number(seconds) * 1000);
  let tried = Date.now(), isWanted = false, isRenewing = false;

  // Fetches this very page and takes over each live part that has changed.
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
      document.dispatchEvent(new Event("kwapi-renewing"));
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (other && other.innerHTML !== part.innerHTML) part.innerHTML = other.innerHTML;
        if (other && other.className !== part.className) part.className = other.className;
        if (other && other.dataset.total !== part.dataset.total) part.dataset.total = other.dataset.total;
        const card = part.closest(".card"), otherCard = other && other.closest(".card");
        if (card && otherCard) card.className = otherCard.className;
      }
    }
    document.dispatchEvent(new CustomEvent("kwapi-renewed", { detail: fresh.getElementById("live").textContent }));
  };

  const turn = async () => {
    const isTyping = document.activeElement && document.activeElement.matches("input");
    const isLive = document.documentElement.dataset.live === "open";
    const isDue = Date.now() - tried >= (isLive && !isWanted ? seldom : often);
    if (document.hidden || isTyping || isRenewing || !isDue) return;
    [tried, isWanted, isRenewing] = [Date.now(), false, true];
    try {
      await renew();
    } catch {
      document.dispatchEvent(new Event("kwapi-not-renewed"));
    }
    isRenewing = false;
  };
  setInterval(turn, Math.min(often, 1000));
  document.addEventListener("visibilitychange", turn);
  document.addEventListener("kwapi-wanted", ({ detail: isUrgent }) => {
    isWanted = true;
    if (isUrgent) tried = 0;
  });

  document.documentElement.dataset.script = "on";
})();
