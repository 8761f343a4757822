{
  const cards = Object.fromEntries([...document.querySelectorAll("[data-study]")].map((card) => [card.dataset.study, card]));
  const tokens = {};
  watch(() => "/studies.json", ({ studies }) => {
    for (const { key, problem, state } of studies) {
      const card = cards[key];
      const [question, bar, tally, verdicts] = [".question", ".progress", ".tally", ".verdicts"].map((name) => card.querySelector(name));
      if (problem !== null) {
        question.textContent = problem;
        tokens[key] = null;
      } else if (tokens[key] !== state.token) {
        tokens[key] = state.token;
        const done = showProgress(bar, state.states, state.total);
        question.replaceChildren(...(state.question === state.name ? [] : [state.question, make("br")]), make("span", { class: "note" }, done));
        tally.replaceChildren(...chips(state.states));
        verdicts.replaceChildren(...state.verdicts.map(verdictItem));
      }
    }
    const running = studies.filter(({ state }) => state !== null && state.states.some(([name]) => name === "running"));
    byId("status").textContent = `${running.length} of ${studies.length} studies running`;
  });
}
