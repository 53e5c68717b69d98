/* Warns before the session ends for want of a click. It asks how long is left, which doesn't keep the session awake;
   the one button does. Without this script the portal works just the same, but says nothing before. */
"use strict";

const place = document.querySelector("[data-idle]");
const notice = place.querySelector(".notice");
const form = place.querySelector("form");
const WARN_S = 180; // long enough to find the button (WCAG 2.2.1 asks for 20 seconds)
let next = 0;

async function look() {
  clearTimeout(next);
  let wait = 60;
  try {
    const answer = await fetch(place.dataset.idle, { cache: "no-store" });
    const session = await answer.json();
    if (!session.signed_in) {
      location.replace(place.dataset.out);
      return;
    }
    notice.hidden = session.idle_in > WARN_S;
    wait = notice.hidden ? Math.min(session.idle_in - WARN_S, 60) : 10;
  } catch {
    // Not reachable just now: nothing is decided, so nothing is said.
  }
  next = setTimeout(look, Math.max(wait, 1) * 1000);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault(); // whatever is half typed on the page stays
  try {
    await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  } finally {
    look();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look(); // a telephone that slept wakes up to the truth
});

look();
