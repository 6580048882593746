// Adds what happens to an open Run's page, and keeps the Decision Queue's as it is
// now. Everything works without it, by reloading. The markup comes from the page's own templates, on this server.
"use strict";
(() => {
  const queue = document.getElementById("queue");
  const rail = queue || document.getElementById("rail");
  if (!rail || !rail.dataset.stream || !window.EventSource) return;
  const asIs = { createHTML: (s) => s };
  const policy = window.trustedTypes ? trustedTypes.createPolicy("rail", asIs) : asIs;
  const live = document.getElementById("live");
  const say = (text) => { if (live.textContent !== text) live.textContent = text; };
  const parse = (event) => {
    const t = document.createElement("template");
    t.innerHTML = policy.createHTML(JSON.parse(event.data));
    return t.content;
  };
  const source = new EventSource(rail.dataset.stream);
  source.addEventListener("open", () => say("Live"));
  source.addEventListener("error", () =>
    say(source.readyState === EventSource.CLOSED ? "Not connected: reload the page" : "Not connected; trying again"));
  source.addEventListener("queue", (e) => { // what was chosen, or is being read, stays
    if (!queue.querySelector(":checked") && !queue.contains(document.activeElement)) queue.replaceChildren(parse(e));
    else say("There is something new: reload the page");
  });
  for (const name of ["facts", "actions"]) {
    source.addEventListener(name, (e) => document.getElementById(name).replaceChildren(parse(e)));
  }
  source.addEventListener("observation", (e) => {
    const part = parse(e);
    const item = part.querySelector("li");
    if (!item || document.getElementById(item.id)) return;
    document.getElementById("rail-empty")?.remove();
    item.classList.add("new");
    rail.append(item);
  });
  source.addEventListener("end", () => {
    source.close();
    say("Complete");
    document.getElementById("stop")?.remove();
  });
})();
