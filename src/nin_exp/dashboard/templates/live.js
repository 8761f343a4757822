{
  const base = document.body.dataset.base;
  const FILTERS = ["block", "arm", "seed", "state"];
  const MOST_ROWS = 500;
  let state = null;
  let areFiltersOld = false;

  // --- What is shown, and in which order, stands in the address.
  const chosen = () => new URLSearchParams(location.search);
  const choose = (changes) => {
    const query = chosen();
    for (const [key, value] of Object.entries(changes)) {
      if (value) query.set(key, value); else query.delete(key);
    }
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    show();
  };
  const isChosen = (item, keys = FILTERS) => keys.every((key) => !chosen().get(key) || String(item[key]) === chosen().get(key));

  const showFilters = () => {
    areFiltersOld = byId("filters").contains(document.activeElement);
    if (areFiltersOld) return;  // its list may be open
    byId("filters").replaceChildren(...FILTERS.map((key) => {
      const values = [...new Set([...state.runs.map((run) => String(run[key])), chosen().get(key) ?? ""])].filter((value) => value !== "");
      const select = make("select", { "data-filter": key }, make("option", { value: "" }, "all"),
        ...values.map((value) => make("option", { value }, key === "state" ? value.replaceAll("_", " ") : value)));
      select.value = chosen().get(key) ?? "";
      select.addEventListener("change", () => choose({ [key]: select.value }));
      return make("label", {}, key, select);
    }));
  };

  // --- Runs.
  const compare = (a, b) => {
    if (a === null || b === null || a === "" || b === "") return (a === null || a === "") - (b === null || b === "");
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? String(a).localeCompare(String(b), "en", { numeric: true }) : x - y;
  };
  const sorted = (runs) => {
    const [key, isDown] = [chosen().get("sort"), chosen().get("order") === "down"];
    if (!key || runs.length === 0 || !(key in runs[0])) return runs;
    const hasNone = (run) => run[key] === null || run[key] === "";
    return [...runs].sort((a, b) => (hasNone(a) || hasNone(b) ? hasNone(a) - hasNone(b) : (isDown ? -1 : 1) * compare(a[key], b[key])));
  };
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const isSame = chosen().get("sort") === button.dataset.sort;
      choose({ sort: button.dataset.sort, order: isSame && chosen().get("order") !== "down" ? "down" : null });
    });
  }
  const showRuns = () => {
    const shown = sorted(state.runs.filter((run) => isChosen(run)));
    const count = shown.length === state.runs.length ? `${shown.length} runs` : `${shown.length} of ${state.runs.length} runs`;
    byId("runs-caption").textContent = shown.length > MOST_ROWS ? `${count}, the first ${MOST_ROWS} of them; choose above to see others` : count;
    for (const button of document.querySelectorAll("[data-sort]")) {
      if (button.dataset.sort === "score") button.textContent = state.metric ?? "score";
      const head = button.closest("th");
      if (button.dataset.sort !== chosen().get("sort")) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", chosen().get("order") === "down" ? "descending" : "ascending");
    }
    byId("runs").replaceChildren(...shown.slice(0, MOST_ROWS).map((run) => make("tr", {},
      make("th", { scope: "row" }, make("a", { href: `${base}/run/${encodeURIComponent(run.job_id)}` }, run.job_id)),
      make("td", {}, make("span", { class: "text" }, run.arm)), make("td", {}, make("span", { class: "text" }, run.block)),
      make("td", { class: "number" }, String(run.seed)),
      make("td", {}, make("span", { class: `tone tone-${run.state}` }, run.state_name)),
      make("td", { class: "number" }, run.epoch === null ? "–" : String(run.epoch)),
      make("td", { class: "number" }, run.score ?? "–"))));
  };

  const show = () => {
    byId("question").textContent = state.question;
    byId("status").textContent = showProgress(byId("progress"), state.states, state.total);
    byId("states").replaceChildren(...chips(state.states));
    const verdicts = state.verdicts.filter((verdict) => isChosen(verdict, ["arm", "block"]));
    byId("verdicts").replaceChildren(...verdicts.map(verdictItem));
    byId("verdicts").classList.toggle("verdicts-many", verdicts.length > 4);
    byId("how-sure").replaceChildren(...state.how_sure.map((line) => make("li", {}, tidy(line))));
    const running = state.running.filter((run) => isChosen(run) && run.chart !== null);
    byId("running-section").hidden = running.length === 0;
    byId("running").replaceChildren(...running.map((run) =>
      drawChart(run.chart, `epoch ${run.epoch}${run.epochs === null ? "" : ` of ${run.epochs}`}`)));
    byId("running-note").textContent = state.num_not_drawn ? `${state.num_not_drawn} more runs are under way.` : "";
    showFilters();
    showRuns();
  };

  watch(() => `${base}/state.json?token=${state === null ? "" : state.token}`, (found) => {
    if (found.runs !== undefined) {
      state = found;
      show();
    } else if (areFiltersOld) showFilters();
  });
}
