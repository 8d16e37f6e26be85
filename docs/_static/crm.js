/* What scripts add to pages that work without them: a remembered language, a selector of examples, copying, and deep links that
   open what they point into. */
"use strict";

(() => {
  const KEY = "crm-lang";
  const LANGUAGES = ["curl", "python", "javascript"];

  const store = {
    get: () => { try { return localStorage.getItem(KEY); } catch { return null; } },
    set: (value) => { try { localStorage.setItem(KEY, value); } catch { /* private mode */ } },
  };

  /* One language over all samples, kept for the next page; ?lang=python in a link wins. */
  function choose(language) {
    if (!LANGUAGES.includes(language)) return;
    for (const radio of document.querySelectorAll(`.xt-radio[value="${language}"]`)) radio.checked = true;
  }

  function languages() {
    const asked = new URLSearchParams(location.search).get("lang");
    if (LANGUAGES.includes(asked)) store.set(asked);
    choose(LANGUAGES.includes(asked) ? asked : store.get());
    document.addEventListener("change", (event) => {
      const radio = event.target;
      if (!radio.matches?.(".xt-radio")) return;
      const before = radio.getBoundingClientRect().top;
      store.set(radio.value);
      choose(radio.value);
      window.scrollBy(0, radio.getBoundingClientRect().top - before); // other samples above may have grown
    });
  }

  /* The list of examples becomes a selector. */
  function pick(panel, id) {
    for (const example of panel.querySelectorAll(":scope > .xc")) example.open = example.id === id;
    const select = panel.querySelector(".xp-pick select");
    if (select) select.value = id;
  }

  function selectors() {
    for (const panel of document.querySelectorAll(".xp")) {
      const select = panel.querySelector(".xp-pick select");
      if (!select) continue;
      if (select.options.length > 1) {
        panel.classList.add("picking");
        select.parentElement.hidden = false;
        select.addEventListener("change", () => pick(panel, select.value));
      }
    }
  }

  /* Open everything around the place that the address names. */
  function reveal() {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id && document.getElementById(id);
    if (!target) return;
    if (target.matches(".xc")) pick(target.closest(".xp"), id);
    if (target.matches("details")) target.open = true;
    for (let place = target.parentElement; place; place = place.parentElement) {
      if (place.matches("details")) place.open = true;
    }
    const own = target.querySelector(":scope > details.f-more");
    if (own) own.open = true;
    requestAnimationFrame(() => target.scrollIntoView());
  }

  /* Copy a path, or the sample that is shown, without prompts and output. */
  function sample(button) {
    if (button.dataset.copy) return button.dataset.copy;
    const shown = [...button.closest(".xt").querySelectorAll(".xt-panel")].find((p) => getComputedStyle(p).display !== "none");
    const text = shown.querySelector("pre").textContent.trimEnd();
    if (shown.dataset.lang !== "python") return text;
    return text.split("\n").filter((l) => /^(>>>|\.\.\.)( |$)/.test(l)).map((l) => l.slice(4)).join("\n");
  }

  function copying() {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll(".crm-copy")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(sample(button));
        button.classList.add("done");
        setTimeout(() => button.classList.remove("done"), 1500);
      });
    }
  }

  /* Paper shows everything. */
  function printing() {
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = [...document.querySelectorAll("article details:not([open])")];
      closed.forEach((d) => { d.open = true; });
    });
    addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));
  }

  languages();
  selectors();
  copying();
  printing();
  reveal();
  addEventListener("hashchange", reveal);
})();
