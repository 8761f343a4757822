"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figure-data").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");

  // --- Theme: the system's, unless the reader chose one.
  const button = document.getElementById("theme");
  const remembered = () => {
    try { return localStorage.getItem("nin-exp-theme"); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem("nin-exp-theme", theme); } catch { /* private window */ }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const showTheme = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    plots.filter((div) => div.dataset.rendered).forEach(render);
  };

  // --- Figures: colours are tokens, which the style sheet resolves for the theme of the moment.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (token) => {
    const isBand = token.endsWith("-band");
    probe.style.color = `var(${isBand ? token.slice(0, -5) : token})`;
    const value = getComputedStyle(probe).color;
    return isBand ? value.replace("rgb(", "rgba(").replace(")", ", 0.16)") : value;
  };
  const paint = (value, key) => {
    if (typeof value === "string") return /color(scale)?$/.test(key) && value.startsWith("--") ? colour(value) : value;
    if (Array.isArray(value)) return value.map((item) => paint(item, key));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, paint(item, name)]));
  };
  const isTouch = window.matchMedia("(pointer: coarse)").matches;

  function render(div) {
    const figure = figures[div.dataset.figure];
    const layout = paint(figure.layout, "");
    Object.assign(layout, {
      autosize: true,
      height: figure.height,
      dragmode: isTouch ? false : "zoom",  // a finger on a figure scrolls the page
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
      hoverlabel: { bgcolor: colour("--surface"), bordercolor: colour("--axis"), font: { color: colour("--ink") } },
    });
    Plotly.react(div, paint(figure.data, ""), layout, { displayModeBar: false, responsive: true });
    div.dataset.rendered = "true";
  }

  plots.forEach((div) => { div.style.minHeight = `${div.dataset.height}px`; });
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      observer.unobserve(entry.target);
      render(entry.target);
    }
  }, { rootMargin: "800px" });
  plots.forEach((div) => observer.observe(div));

  for (const save of document.querySelectorAll("[data-save]")) {
    save.hidden = false;
    save.addEventListener("click", () => {
      const div = document.getElementById(`plot-${save.dataset.save}`);
      Plotly.downloadImage(div, { format: "svg", filename: save.dataset.save, width: div.clientWidth, height: div.clientHeight });
    });
  }

  const chosen = remembered();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    showTheme();
  });
  systemDark.addEventListener("change", showTheme);
  showTheme();

  // --- Tables: sort by a column; what has no value stays last.
  const sortKey = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort === undefined ? cell.textContent.trim() : cell.dataset.sort;
  };
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sortBy = (table, column) => {
    const heads = [...table.tHead.rows[0].cells];
    const direction = heads[column].getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    heads.forEach((head, i) => (i === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => {
      const [a, b] = [sortKey(one, column), sortKey(other, column)];
      const [noA, noB] = [a === "-inf" || a === "–", b === "-inf" || b === "–"];
      return noA || noB ? noA - noB : sign * compare(a, b);
    });
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const sorter = document.createElement("button");
      sorter.type = "button";
      sorter.append(...head.childNodes);
      head.append(sorter);
      sorter.addEventListener("click", () => sortBy(table, column));
    });
  }

  // --- Print: light, everything open, every figure drawn and as wide as the paper lets it be.
  let before = null;
  window.addEventListener("beforeprint", () => {
    before = { theme: root.dataset.theme, closed: [...document.querySelectorAll("details:not([open])")] };
    root.dataset.theme = "light";
    before.closed.forEach((details) => { details.open = true; });
    plots.forEach(render);
    plots.forEach((div) => Plotly.relayout(div, { width: div.closest(".figures") ? 320 : 640 }));
  });
  window.addEventListener("afterprint", () => {
    if (before === null) return;
    if (before.theme === undefined) delete root.dataset.theme; else root.dataset.theme = before.theme;
    before.closed.forEach((details) => { details.open = false; });
    plots.forEach(render);
    before = null;
  });
})();
