// The charts of a run, by Plotly: rates, latencies, their distribution, and writers' shares.
"use strict";
(() => {
  const {figures, moments} = JSON.parse(document.getElementById("data").textContent);
  if (!figures) return;
  const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kindColours = {write: "--v0", read: "--v2", observe: "--v5", update: "--v1", append: "--v3", backup: "--v4",
    observe_backup: "--other", recover: "--bad"};
  const dashes = {python: "solid", bash: "dot", command: "dash"};
  const name = series => `${series.kind.replace("observe_backup", "see backup")} (${series.language})`;
  const seriesLine = series => ({color: style(kindColours[series.kind] || "--v0"), dash: dashes[series.language], width: 2});

  // Faults are shaded behind the lines, and the moments of findings stand as lines before them.
  function shapes() {
    const last = figures.slice_s * figures.times.length;
    const colours = {kill: style("--bad"), pause: style("--doubt"), fill: style("--v3")};
    const opacity = figures.faults.length > 100 ? 0.06 : 0.18;  // of many, none may hide what is behind them
    const faults = figures.faults.map(each => ({type: "rect", xref: "x", yref: "paper", layer: "below", y0: 0, y1: 1,
      x0: each.at_s, x1: each.at_s + Math.max(each.lasts_s, last / 400), opacity, line: {width: 0},
      fillcolor: colours[each.fault]}));
    const found = moments.map(moment => ({type: "line", xref: "x", yref: "paper", y0: 0, y1: 1, x0: moment.at_s,
      x1: moment.at_s, line: {color: style("--bad"), width: 1.5, dash: "dashdot"}}));
    return [...faults, ...found];
  }

  function faultTraces() {
    const words = {kill: "✕ kill", pause: "‖ pause", fill: "disk full"};
    const colours = {kill: "--bad", pause: "--doubt", fill: "--v3"};
    const made = ["kill", "pause", "fill"].map(fault => {
      const those = figures.faults.filter(each => each.fault === fault);
      return {name: words[fault], mode: "markers", type: "scatter", x: those.map(each => each.at_s),
        y: those.map(() => 0), marker: {symbol: fault === "kill" ? "x" : "square", size: 7, color: style(colours[fault])},
        text: those.map(each => `${fault} of p${each.process}` +
          (each.lasts_s ? ` for ${(each.lasts_s * 1000).toFixed(0)} ms` : "")), hoverinfo: "text+x"};
    });
    made.push({name: "finding", mode: "markers", type: "scatter", x: moments.map(m => m.at_s), y: moments.map(() => 0),
      marker: {symbol: "triangle-up", size: 10, color: style("--bad")}, text: moments.map(m => m.anomaly), hoverinfo: "text+x"});
    return made.filter(trace => trace.x.length);
  }

  function layout(more) {
    const axis = {gridcolor: style("--line"), zerolinecolor: style("--line"), linecolor: style("--line"), automargin: true};
    const narrow = innerWidth < 560;
    const {xaxis, yaxis, ...rest} = more;
    const ticks = (axis, more) => (more && more.type === "log" ? {...axis, ...logTicks(more.over)} : axis);
    return {paper_bgcolor: style("--ground"), plot_bgcolor: style("--ground"), font: {color: style("--text"), size: 12},
      margin: {l: 56, r: 12, t: 10, b: 48}, hovermode: "closest", showlegend: true,
      legend: {orientation: "h", y: 1.02, yanchor: "bottom", font: {size: narrow ? 10 : 12}},
      xaxis: {...ticks(axis, xaxis), ...xaxis}, yaxis: {...ticks(axis, yaxis), ...yaxis}, ...rest};
  }

  // 1, 2 and 5 of each decade; of many decades, 1 alone. In words that need no counting of zeros.
  function logTicks(values) {
    const some = values.filter(value => value > 0);
    if (!some.length) return {};
    const low = Math.floor(Math.log10(Math.min(...some))), high = Math.ceil(Math.log10(Math.max(...some)));
    const digits = high - low > 3 ? [1] : [1, 2, 5];
    const at = [];
    for (let decade = low; decade <= high; decade++) at.push(...digits.map(digit => digit * 10 ** decade));
    return {tickvals: at, ticktext: at.map(ms => (ms < 1 ? `${+(ms * 1e3).toPrecision(3)} µs`
      : ms < 1e3 ? `${+ms.toPrecision(3)} ms` : `${+(ms / 1e3).toPrecision(3)} s`))};
  }

  const config = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d"]};
  const seconds = {title: {text: "seconds since the start"}, range: [0, figures.slice_s * figures.times.length]};

  function rates() {
    const traces = figures.series.map(series => ({name: name(series), x: figures.times, y: series.rate, mode: "lines",
      type: "scatter", line: seriesLine(series), hovertemplate: `%{y:,.0f} per s at %{x:.2f} s<extra>${name(series)}</extra>`}));
    Plotly.react("chart-rates", [...traces, ...faultTraces()],
      layout({xaxis: seconds, yaxis: {title: {text: "per second"}, rangemode: "tozero"}, shapes: shapes()}), config);
  }

  const which = document.getElementById("which");
  figures.series.forEach((series, place) => which.append(new Option(name(series), place)));
  which.value = figures.series.indexOf(figures.series.reduce((a, b) => (b.total > a.total ? b : a), figures.series[0]));

  function latency() {
    const series = figures.series[which.value];
    if (!series) return;
    const traces = [["p50", "--v2"], ["p95", "--v0"], ["p99", "--v3"]].map(([share, colour]) => ({name: share, x: figures.times,
      y: series[share], mode: "lines", type: "scatter", connectgaps: false, line: {color: style(colour), width: 2},
      hovertemplate: `${share}: %{y:.3g} ms at %{x:.2f} s<extra></extra>`}));
    Plotly.react("chart-latency", traces,
      layout({xaxis: seconds, yaxis: {type: "log", over: [...series.p50, ...series.p99]}, shapes: shapes()}), config);
  }

  function spread() {
    const traces = figures.series.map(series => ({name: name(series), x: series.spread_ms, y: series.spread.map(v => v * 100),
      mode: "lines", type: "scatter", line: {...seriesLine(series), shape: "hv"},
      hovertemplate: `%{y:.2f} % at about %{x:.3g} ms<extra>${name(series)}</extra>`}));
    Plotly.react("chart-spread", traces, layout({xaxis: {type: "log", over: figures.series.flatMap(one => one.spread_ms)},
      yaxis: {title: {text: "% of its operations"}, rangemode: "tozero"}}), config);
  }

  function shares() {
    if (!figures.shares.length) return;
    const colours = {python: "--v0", bash: "--v1", command: "--v2"};
    const languages = [...new Set(figures.shares.map(share => share.language))];
    const traces = languages.map(language => {
      const those = figures.shares.filter(share => share.language === language);
      return {name: language, type: "bar", x: those.map(share => `writer ${share.worker}`), y: those.map(share => share.done),
        marker: {color: style(colours[language] || "--v3")}, text: those.map(share => share.processes), textposition: "none",
        hovertemplate: `%{x} (%{text}): %{y:,} changes<extra>${language}</extra>`};
    });
    Plotly.react("chart-shares", traces, layout({xaxis: {tickangle: -45}, yaxis: {title: {text: "changes acknowledged"}}}), config);
  }

  function all() { rates(); latency(); spread(); shares(); }
  which.addEventListener("change", latency);
  dark.addEventListener("change", all);
  all();
})();
