"use strict";
(() => {
  const make = (tag, attributes = {}, ...children) => {
    const space = ["svg", "polyline"].includes(tag) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml";
    const element = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);  // strings become text, never markup
    return element;
  };
  const byId = (id) => document.getElementById(id);

  const picture = (title, series) => {
    const { name, points } = series;
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const place = ([x, y]) => [
      4 + 392 * (right > left ? (x - left) / (right - left) : 0.5),
      144 - 138 * (high > low ? (y - low) / (high - low) : 0.5),
    ].map((n) => n.toFixed(1)).join(",");
    const last = ys[ys.length - 1];
    const words = `${name} by epoch: from ${low} to ${high}, last ${last} at epoch ${right}`;
    const line = points.length > 1 ? points : [[left - 1, ys[0]], [left + 1, ys[0]]];
    return make("figure", { class: "figure" },
      make("p", { class: "figure-title" }, title),
      make("svg", { class: "spark", viewBox: "0 0 400 150", preserveAspectRatio: "none", role: "img", "aria-label": words },
        make("polyline", { points: line.map(place).join(" ") })),
      make("figcaption", { class: "spark-ends" }, make("span", {}, `epoch ${left} – ${right}`), make("span", {}, `last ${last}`)));
  };

  // --- A run's page.
  if (document.body.dataset.run !== undefined) {
    const all = JSON.parse(byId("series").textContent).filter((series) => series.points.length);
    byId("curves").append(...(all.length ? all.map((series) => picture(series.name, series)) : ["no epoch has ended yet"]));
    if (document.body.dataset.run === "unfinished") setTimeout(() => location.reload(), 10000);
    return;
  }

  // --- The live page.
  const base = document.body.dataset.live;
  if (base === undefined) return;
  const FILTERS = ["block", "arm", "seed", "state"];
  let state = null;
  const chosen = () => new URLSearchParams(location.search);

  const showFilters = () => {
    byId("filters").replaceChildren(...FILTERS.map((key) => {
      const values = [...new Set(state.runs.map((run) => String(run[key])))].filter((value) => value !== "");
      const select = make("select", { "data-filter": key }, make("option", { value: "" }, "all"),
        ...values.map((value) => make("option", { value }, value)));
      select.value = chosen().get(key) ?? "";
      select.addEventListener("change", () => {
        const query = chosen();
        if (select.value) query.set(key, select.value); else query.delete(key);
        history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
        showRuns();
      });
      return make("label", {}, key, select);
    }));
  };

  const showRuns = () => {
    const query = chosen();
    const shown = state.runs.filter((run) => FILTERS.every((key) => !query.get(key) || String(run[key]) === query.get(key)));
    byId("runs-caption").textContent = shown.length === state.runs.length ? `${shown.length} runs` : `${shown.length} of ${state.runs.length} runs`;
    byId("score-title").textContent = state.metric ?? "score";
    byId("runs").replaceChildren(...shown.map((run) => make("tr", {},
      make("th", { scope: "row" }, make("a", { href: `${base}/run/${encodeURIComponent(run.job_id)}` }, run.job_id)),
      make("td", {}, run.arm), make("td", {}, run.block), make("td", { class: "number" }, String(run.seed)),
      make("td", {}, make("span", { class: `tone tone-${run.state}` }, run.state_name)),
      make("td", { class: "number" }, run.epoch === null ? "–" : String(run.epoch)),
      make("td", { class: "number" }, run.score ?? "–"))));
  };

  const show = () => {
    byId("question").textContent = state.question;
    const done = state.runs.filter((run) => run.state === "done").length;
    byId("status").textContent = `${done} of ${state.total} runs done`;
    const bar = byId("progress");
    bar.setAttribute("aria-valuenow", String(done));
    bar.setAttribute("aria-valuemax", String(Math.max(1, state.total)));
    bar.replaceChildren(...state.states.filter(([key]) => key !== "not_started").map(([key, , number]) => {
      const part = make("span", { class: `state-${key} tone-${key}` });
      part.style.flex = `0 0 ${(100 * number) / Math.max(1, state.total)}%`;
      return part;
    }));
    byId("states").replaceChildren(...state.states.map(([key, name, number]) =>
      make("li", { class: `chip tone-${key}` }, make("b", {}, String(number)), ` ${name}`)));
    byId("verdicts").replaceChildren(...state.verdicts.map((verdict) => make("li", { class: `verdict verdict-${verdict.label}` },
      make("span", { class: "badge" }, verdict.badge), make("p", { class: "statement" }, verdict.statement),
      make("p", { class: "evidence" }, verdict.evidence), make("p", { class: "remark" }, verdict.remarks))));
    byId("how-sure").replaceChildren(...state.how_sure.map((line) => make("li", {}, line)));
    byId("running-section").hidden = state.running.length === 0;
    byId("running").replaceChildren(...state.running.flatMap((run) =>
      run.series.filter((series) => series.points.length).map((series) => picture(`${run.name}: ${series.name}`, series))));
    if (!byId("filters").contains(document.activeElement)) showFilters();
    showRuns();
  };

  const poll = async () => {
    try {
      const answer = await fetch(`${base}/state.json`);
      if (!answer.ok) throw new Error(await answer.text());
      const found = await answer.json();
      if (state === null || state.token !== found.token) {
        state = found;
        show();
      }
    } catch (error) {
      byId("status").textContent = `no answer: ${error.message}`;
    }
    setTimeout(poll, document.hidden ? 15000 : 2000);
  };
  poll();
})();
