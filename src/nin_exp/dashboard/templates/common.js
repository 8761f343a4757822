"use strict";
// Elements are made with text, never with markup: whatever a run directory holds stays text.
const make = (tag, attributes = {}, ...children) => {
  const space = ["svg", "polyline"].includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const byId = (id) => document.getElementById(id);
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// --- Theme: the system's, unless the reader chose one, here or in a report.
{
  const root = document.documentElement;
  const button = byId("theme");
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const show = (theme) => {
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    button.setAttribute("aria-pressed", String(isDark()));
  };
  try { show(localStorage.getItem("nin-exp-theme")); } catch { show(null); }
  button.hidden = false;
  button.addEventListener("click", () => {
    show(isDark() ? "light" : "dark");
    try { localStorage.setItem("nin-exp-theme", root.dataset.theme); } catch { /* private window */ }
  });
  window.addEventListener("storage", (event) => { if (event.key === "nin-exp-theme") show(event.newValue); });
  systemDark.addEventListener("change", () => show(null));
}

// --- A small picture of some lines over the epochs.
const round = (value) => String(Number(value.toPrecision(3)));
const drawChart = ({ title, unit, lines }, note = null) => {
  const all = lines.flatMap((line) => line.points);
  const [xs, ys] = [all.map((p) => p[0]), all.map((p) => p[1])];
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const margin = 0.06 * (Math.max(...ys) - Math.min(...ys)) || 0.05 * Math.abs(ys[0]) || 1;
  const floor = Math.min(...ys) >= 0 ? 0 : -Infinity;
  const ceiling = unit === "%" ? 100 : Infinity;
  const [low, high] = [Math.max(floor, Math.min(...ys) - margin), Math.min(ceiling, Math.max(...ys) + margin)];
  const place = ([x, y]) => [
    right > left ? 4 + (392 * (x - left)) / (right - left) : 200,
    high > low ? 146 - (142 * (y - low)) / (high - low) : 75,
  ].map((n) => n.toFixed(1));
  const svg = make("svg", { class: "spark", viewBox: "0 0 400 150", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const { style, points } of [...lines].reverse()) {
    const [x, y] = place(points[0]);
    const shown = points.length > 1 ? points.map(place) : [[x - 5, y], [Number(x) + 5, y]];
    svg.append(make("polyline", { class: `line line-${style}`, points: shown.map((p) => p.join(",")).join(" ") }));
  }
  const words = lines.map(({ label, points }) => `${label} ${points[0][1]} to ${points[points.length - 1][1]}`).join("; ");
  const legend = lines.map(({ label, style, points }) => make("li", {},
    make("span", { class: `stroke stroke-${style}`, "aria-hidden": "true" }), `${label} `, make("b", {}, round(points[points.length - 1][1]))));
  return make("figure", { class: "figure" },
    make("p", { class: "figure-title" }, title),
    make("div", { class: "chart", role: "img", "aria-label": `${title}, epoch ${left} to ${right}: ${words}` },
      make("span", { class: "chart-high" }, round(high)), make("span", { class: "chart-low" }, round(low)), svg,
      make("span", { class: "chart-left" }, `epoch ${left}`), make("span", { class: "chart-right" }, right > left ? String(right) : "")),
    make("ul", { class: "legend" }, ...legend), ...(note === null ? [] : [make("figcaption", {}, note)]));
};

// --- How far a study is.
const showProgress = (bar, states, total) => {
  const done = states.filter(([key]) => key === "done").reduce((sum, [, , number]) => sum + number, 0);
  bar.setAttribute("aria-valuenow", String(done));
  bar.setAttribute("aria-valuemax", String(Math.max(1, total)));
  bar.replaceChildren(...states.filter(([key]) => key !== "not_started").map(([key, , number]) => {
    const part = make("span", { class: `state-${key} tone-${key}` });
    part.style.flex = `0 0 ${(100 * number) / Math.max(1, total)}%`;
    return part;
  }));
  return `${done} of ${total} runs done`;
};
const chips = (states) => states.map(([key, name, number]) =>
  make("li", { class: `chip tone-${key}` }, make("b", {}, String(number)), ` ${name}`));
// As the report typesets: a true minus sign, and no break between a number and its unit.
const tidy = (text) => text.replace(/(^|[\s(])-(?=\d)/g, "$1\u2212").replaceAll("p = ", "p\u00a0=\u00a0").replaceAll(" %", "\u00a0%");
const verdictItem = (verdict) => make("li", { class: `verdict verdict-${verdict.label}` },
  make("span", { class: "badge" }, verdict.badge), make("p", { class: "statement" }, tidy(verdict.statement)),
  ...["evidence", "remarks"].filter((key) => verdict[key]).map((key) => make("p", { class: key === "evidence" ? "evidence" : "remark" }, tidy(verdict[key]))));

// --- Ask again and again; less often where nobody looks.
const watch = async (address, show) => {
  for (;;) {
    try {
      const answer = await fetch(address());
      if (!answer.ok) throw new Error((await answer.text()).trim());
      show(await answer.json());
    } catch (error) {
      byId("status").textContent = error instanceof TypeError ? "the dashboard does not answer; is it still running?" : error.message;
    }
    await sleep(document.hidden ? 15 : 2);
  }
};
