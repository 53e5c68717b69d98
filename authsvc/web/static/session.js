/* The idle warning on the session page. It asks now and then how much time is left (which extends nothing) and shows a
   button before it runs out. Without it the page works all the same: a reload tells the truth. */
"use strict";
(() => {
  const ASK_EVERY_MS = 30000;
  const WARN_S = 120; // WCAG 2.2.1 asks for 20 seconds at least
  const region = document.getElementById("idle");
  const warning = region.querySelector("[data-warning]");
  const clock = region.querySelector("[data-left]");
  const extend = region.querySelector("form");
  let endsAt = Infinity; // by performance.now(): the wall clock may be put right meanwhile
  let asking = false;

  const show = () => {
    const left = Math.max(0, Math.ceil((endsAt - performance.now()) / 1000));
    warning.hidden = left > WARN_S;
    clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left === 0) ask();
  };

  const ask = async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(region.dataset.state, { cache: "no-store", redirect: "error" });
      if (!answer.ok) return; // the next time tells
      const state = await answer.json();
      if (!state.signed_in) {
        location.replace(region.dataset.signedOut);
        return;
      }
      endsAt = performance.now() + 1000 * Math.min(state.idle_in, state.ends_in);
      extend.hidden = state.ends_in <= state.idle_in; // then a press would not help
      show();
    } catch {
      // no network: the next time tells
    } finally {
      asking = false;
    }
  };

  document.addEventListener("visibilitychange", () => document.hidden || ask());
  setInterval(ask, ASK_EVERY_MS);
  setInterval(show, 1000);
  ask();
})();
