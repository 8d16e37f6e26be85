/* What scripts add to pages that work without them: a remembered language, a selector of examples, colours, copying, deep links
   that open what they point into, and sending a sample where the emulator serves the page. */
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
    const select = panel.querySelector(".xp-bar select");
    if (select) select.value = id;
  }

  function selectors() {
    for (const panel of document.querySelectorAll(".xp")) {
      const examples = panel.querySelectorAll(":scope > .xc");
      if (examples.length < 2) continue;
      const select = document.createElement("select");
      select.setAttribute("aria-label", panel.getAttribute("aria-label"));
      for (const example of examples) {
        const summary = example.querySelector("summary");
        const status = summary.querySelector("b").textContent;
        select.add(new Option(`${status} \u00b7 ${summary.textContent.trim().slice(status.length).trim()}`, example.id));
      }
      select.addEventListener("change", () => pick(panel, select.value));
      panel.querySelector(".xp-bar").prepend(select);
      panel.classList.add("picking");
    }
  }

  /* Colours of samples that the build left plain. The classes are those of the highlighter. */
  const TOKENS = [
    ["gp", /^(?:>>>|\.\.\.)(?= |$)/],
    ["nt", /"(?:\\.|[^"\\])*"(?=\s*:)/],
    ["s2", /"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`/],
    ["c1", /(?:#|\/\/) .*$/],
    ["kc", /\b(?:true|false|null|None|True|False)\b/],
    ["k", /\b(?:const|await|import|new)\b/],
    ["nv", /\$[A-Z_]+/],
    ["mi", /(?<![\w.-])-?\d+(?:\.\d+)?\b/],
  ];
  const TOKEN = new RegExp(TOKENS.map(([, pattern]) => `(${pattern.source})`).join("|"), "gm");

  function colour(block) {
    if (block.firstElementChild || block.matches(".l-text")) return;
    const text = block.textContent;
    const made = document.createDocumentFragment();
    let end = 0;
    for (const match of text.matchAll(TOKEN)) {
      const span = document.createElement("span");
      span.className = TOKENS[match.slice(1).findIndex((group) => group !== undefined)][0];
      span.textContent = match[0];
      made.append(text.slice(end, match.index), span);
      end = match.index + match[0].length;
    }
    made.append(text.slice(end));
    block.replaceChildren(made);
  }

  /* An example that is opened for the first time gets its colours and its buttons. */
  function prepare(example) {
    if (example.classList.contains("ready")) return;
    example.classList.add("ready");
    for (const block of example.querySelectorAll("pre")) {
      block.tabIndex = 0; // what scrolls must be reachable by keyboard
      colour(block);
    }
  }

  function examples() {
    for (const example of document.querySelectorAll(".xc")) {
      if (example.open) prepare(example);
      example.addEventListener("toggle", () => prepare(example));
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

  /* The sample that is shown in a panel, without prompts and output. */
  const current = (panel) => panel.querySelector(":scope > .xc[open]");

  function sample(panel) {
    const block = [...current(panel).querySelectorAll("pre")].find((p) => p.offsetParent !== null);
    const text = block.textContent.trimEnd();
    if (!block.matches(".l-python")) return text;
    return text.split("\n").filter((l) => /^(>>>|\.\.\.)( |$)/.test(l)).map((l) => l.slice(4)).join("\n");
  }

  function copyButton(button, text) {
    button.type = "button";
    button.className = "crm-copy";
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text());
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    });
    return button;
  }

  function copying() {
    for (const bar of document.querySelectorAll(".xp-bar")) {
      const tools = document.createElement("div");
      tools.className = "xc-tools";
      bar.append(tools);
      if (!navigator.clipboard) continue;
      const button = document.createElement("button");
      button.setAttribute("aria-label", "Copy the sample");
      tools.append(copyButton(button, () => sample(bar.parentElement)));
    }
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll(".crm-copy[data-copy]")) copyButton(button, () => button.dataset.copy);
  }

  /* Where the emulator serves the page, each sample can be sent. What is sent is the JavaScript sample itself, so that what runs is
     what is documented. The server says in a header of the page that it is there: a static host is asked nothing. */
  const bytes = (text, encoding) => (encoding === "base64"
    ? Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
    : new TextEncoder().encode(text));

  async function send(example) {
    const who = example.dataset.as;
    const token = await (await fetch(`/_emulator/token${who ? `?principal=${encodeURIComponent(who)}` : ""}`)).json();
    let answer;
    const keep = async (...request) => { answer = await fetch(...request); return answer.clone(); };
    const environment = { env: { CRM_BASE: location.origin, CRM_TOKEN: token.access_token } };
    const code = example.querySelector("pre.l-javascript").textContent;
    const run = new Function("fetch", "process", "Buffer", "console", `return (async () => {${code}\n})()`);
    await run(keep, environment, { from: bytes }, { log: () => {} });
    return answer;
  }

  function element(tag, className, text = "") {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  async function show(example) {
    let place = example.querySelector(".xr-live");
    if (!place) {
      place = element("div", "xr xr-live");
      place.setAttribute("role", "status");
      example.querySelector(".xc-body").append(place);
    }
    place.replaceChildren(element("p", "xr-note", "Sending\u2026"));
    try {
      const answer = await send(example);
      const head = element("p", "xr-head");
      head.append(element("b", `s-${String(answer.status)[0]}`, `${answer.status} ${answer.statusText}`), " from the emulator, now");
      const text = await answer.text();
      const block = element("pre", "l-json");
      block.tabIndex = 0;
      try { block.textContent = JSON.stringify(JSON.parse(text), null, 2); } catch { block.textContent = text; block.className = "l-text"; }
      colour(block);
      place.replaceChildren(head, ...(text ? [block] : []));
      if (example.querySelector(".xc-given")) {
        place.append(element("p", "xr-note", "The documented answer follows on other calls; run those first. IDs that they give differ here."));
      }
    } catch (error) {
      place.replaceChildren(element("p", "xr-note", `The request couldn't be sent: ${error.message}`));
    }
    place.scrollIntoView({ block: "nearest" });
  }

  function running() {
    const [page] = performance.getEntriesByType("navigation");
    if (!page?.serverTiming?.some((entry) => entry.name === "crm-emulator")) return;
    for (const tools of document.querySelectorAll(".xc-tools")) {
      const button = element("button", "crm-run", "Run");
      button.type = "button";
      button.addEventListener("click", async () => {
        button.disabled = true;
        await show(current(tools.closest(".xp")));
        button.disabled = false;
      });
      tools.append(button);
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
  examples();
  copying();
  running();
  printing();
  reveal();
  addEventListener("hashchange", reveal);
})();
