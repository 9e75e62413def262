"use strict";
// The facts of a patch on hover, focus and click; tables that sort; the colour scheme by hand. Without this script the page
// still shows everything but those facts, which its buttons also carry as labels.
(() => {
  const about = document.getElementById("about");
  const names = [["rank", "Rank"], ["source", "Source"], ["id", "Image id"], ["box", "Box"], ["typicality", "Typicality"],
    ["cluster", "Cluster"]];
  let kept = null;

  function show(patch) {
    const list = document.createElement("dl");
    for (const [key, label] of names) {
      const term = document.createElement("dt"), fact = document.createElement("dd");
      term.textContent = label;
      fact.textContent = patch.dataset[key];
      list.append(term, fact);
    }
    const picture = patch.querySelector("img").cloneNode();
    about.replaceChildren(picture, list);
    about.hidden = false;
    const at = patch.getBoundingClientRect(), own = about.getBoundingClientRect(), gap = 10;
    const right = at.right + gap + own.width <= window.innerWidth;
    const left = right ? at.right + gap : Math.max(gap, at.left - gap - own.width);
    const fits = right || at.left - gap - own.width >= gap;
    const top = fits ? at.top : at.bottom + gap;
    about.style.left = `${Math.min(left, window.innerWidth - own.width - gap)}px`;
    about.style.top = `${Math.max(gap, Math.min(top, window.innerHeight - own.height - gap))}px`;
  }

  function keep(patch) {
    if (kept) kept.classList.remove("kept");
    kept = patch;
    if (kept) { kept.classList.add("kept"); show(kept); } else about.hidden = true;
  }

  const patchOf = (event) => event.target.closest(".patch");
  const leave = () => { if (kept) show(kept); else about.hidden = true; };
  document.addEventListener("pointerover", (event) => { if (patchOf(event)) show(patchOf(event)); });
  document.addEventListener("pointerout", (event) => { if (patchOf(event)) leave(); });
  document.addEventListener("focusin", (event) => { if (patchOf(event)) show(patchOf(event)); });
  document.addEventListener("focusout", (event) => { if (patchOf(event)) leave(); });
  document.addEventListener("click", (event) => {
    const patch = patchOf(event);
    if (patch) keep(patch === kept ? null : patch);
    else if (!event.target.closest("#about")) keep(null);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") keep(null); });
  window.addEventListener("scroll", () => { if (kept) show(kept); else about.hidden = true; }, { passive: true });

  function valueOf(cell) {
    const number = Number.parseFloat(cell.textContent.replace(/,/g, "").replace("−", "-"));
    return Number.isNaN(number) ? Number.NEGATIVE_INFINITY : number;
  }
  for (const heading of document.querySelectorAll("table.sortable th:not(.strip)")) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numeric = heading.classList.contains("number"), before = heading.getAttribute("aria-sort");
      const sign = before ? (before === "ascending" ? -1 : 1) : (numeric ? -1 : 1);
      for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const body = heading.closest("table").tBodies[0], column = heading.cellIndex;
      const rows = [...body.rows].sort((one, other) => sign * (numeric
        ? valueOf(one.cells[column]) - valueOf(other.cells[column])
        : one.cells[column].textContent.localeCompare(other.cells[column].textContent)));
      body.append(...rows);
    });
  }

  const scheme = document.getElementById("scheme"), root = document.documentElement;
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.scheme ? root.dataset.scheme === "dark" : prefersDark.matches);
  const name = () => { scheme.textContent = dark() ? "Light" : "Dark"; };
  scheme.hidden = false;
  scheme.addEventListener("click", () => { root.dataset.scheme = dark() ? "light" : "dark"; name(); });
  prefersDark.addEventListener("change", name);
  name();
})();
