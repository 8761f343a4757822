// The report of this moment: drawn anew when a run has ended, at the same place.
{
  const frame = byId("report");
  let shown = null;
  watch(() => `${document.body.dataset.base}/state.json?results=${shown ?? ""}`, (state) => {
    if (state.results_token === shown) return;
    const isFirst = shown === null;
    shown = state.results_token;
    const done = state.runs.filter((run) => run.state === "done").length;
    byId("status").textContent = `${done} of ${state.total} runs done, as of ${new Date().toLocaleTimeString()}`;
    if (isFirst) return;
    const place = frame.contentWindow.scrollY;
    frame.addEventListener("load", () => frame.contentWindow.scrollTo({ top: place, behavior: "instant" }), { once: true });
    frame.contentWindow.location.reload();
  });
}
