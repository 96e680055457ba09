// Renews an open page without flicker. The page is whole without this.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh) || 5;
  const stale = document.getElementById("stale");
  let renewed = Date.now();

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
        const card = part.closest(".card"), otherCard = other && other.closest(".card");
        if (card && otherCard) card.className = otherCard.className;
      }
    }
    document.dispatchEvent(new Event("kwapi-renewed"));
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

  document.documentElement.dataset.script = "on";
})();
