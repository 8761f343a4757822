{
  const draw = () => {
    const charts = JSON.parse(byId("charts").textContent);
    byId("curves").replaceChildren(...(charts.length ? charts.map((chart) => drawChart(chart)) : ["no epoch has ended yet"]));
  };
  const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  const follow = async () => {
    let last = null;
    while (byId("run").dataset.underWay === "yes") {
      await sleep(document.hidden ? 20 : 4);
      try {
        const answer = await fetch(location.href);
        if (!answer.ok) continue;
        const page = await answer.text();
        const text = page.slice(page.indexOf("<main"), page.lastIndexOf("</main>")).replace(/nonce="[^"]*"/, "");
        if (text === last) continue;
        last = text;
        const place = isAtEnd(byId("log")) ? null : byId("log").scrollTop;
        const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("run");
        byId("run").replaceWith(document.adoptNode(fresh));
        draw();
        byId("log").scrollTop = place ?? byId("log").scrollHeight;
      } catch { /* the dashboard is away for a moment, or has ended */ }
    }
  };
  draw();
  byId("log").scrollTop = byId("log").scrollHeight;
  follow();
}
