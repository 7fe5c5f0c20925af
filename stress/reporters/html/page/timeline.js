// Draws the timeline of each finding's witness: a lane for each process, a bar for each operation.
//
// Two scales of time. By order: every start and end of the witness stands the same distance from the next, as a
// microsecond beside a second would not be seen; what lies between is interpolated. To scale: lengths are true.
// A place on either scale is a number from 0 to 1; zooming chooses which part of it is shown.
"use strict";
(() => {
  const timelines = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const SVG = "http://www.w3.org/2000/svg";
  const BAR_MIN = 4, LANE = 40, THICK = 24, THIN = 19, ROW = 16, ROWS = 8, AXIS = 26;  // pixels; rows of labels in a lane

  function add(parent, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function duration(ns) {
    if (ns < 1e3) return `${ns} ns`;
    if (ns < 1e6) return `${(ns / 1e3).toPrecision(3)} µs`;
    if (ns < 1e9) return `${(ns / 1e6).toPrecision(3)} ms`;
    return `${(ns / 1e9).toFixed(2)} s`;
  }

  const milliseconds = (plan, at) => `${(plan.from + at / 1e6).toFixed(3)} ms`;

  function knotsOf(plan) {
    return [...new Set(plan.operations.flatMap(op => [op.a, op.b]))].sort((a, b) => a - b);
  }

  function byOrder(plan, knots) {
    const last = knots.length - 1, margin = 0.07, inner = 1 - 2 * margin;
    const place = k => (last > 0 ? margin + inner * k / last : 0.5);
    return at => {
      if (at <= knots[0]) return place(0) * (knots[0] > 0 ? at / knots[0] : 1);
      if (at >= knots[last]) {
        const rest = plan.length - knots[last];
        return place(last) + (1 - place(last)) * (rest > 0 ? (at - knots[last]) / rest : 0);
      }
      let k = 1;
      while (knots[k] < at) k++;
      return place(k - 1) + (place(k) - place(k - 1)) * (at - knots[k - 1]) / (knots[k] - knots[k - 1]);
    };
  }

  function inWords(plan, op) {
    const lane = plan.lanes[op.lane];
    const lines = [`${lane.name} (${lane.about}): ${op.label}`,
      `${milliseconds(plan, op.a)} – ${milliseconds(plan, op.b)} (took ${duration(op.b - op.a)})`,
      `outcome: ${op.outcome}`];
    if (op.size >= 0) lines.push(`${op.size.toLocaleString("en")} bytes`);
    if (op.held) lines.push(`held the lock ${milliseconds(plan, op.held[0])} – ${milliseconds(plan, op.held[1])}`);
    if (op.note) lines.push(`noted: ${op.note}`);
    return lines.join("\n");
  }

  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 16 + box.height > innerHeight ? Math.max(8, y - box.height - 12) : y + 16}px`;
  }

  function timeline(figure, plan) {
    const canvas = figure.querySelector(".canvas");
    for (const hidden of figure.querySelectorAll(".tools")) hidden.hidden = false;
    plan.others = plan.others.map(([lane, a, b, label, outcome, size, reads]) =>
      ({lane, a, b, label, outcome, size, reads, colour: "other"}));
    const knots = knotsOf(plan);
    const span = Math.max(1, knots[knots.length - 1] - knots[0]);
    const gaps = knots.slice(1).map((knot, k) => knot - knots[k]);
    // To scale where the smallest step can still be seen.
    let scale = Math.min(...gaps, span) / span > 0.03 ? "time" : "order";
    let view = [0, 1], others = true, width = 0;

    function draw() {
      width = canvas.clientWidth || width;
      if (!width) return;
      const focused = [...canvas.querySelectorAll("[tabindex]")].indexOf(document.activeElement);
      const narrow = width < 560;
      // The witness's processes come first and have room for words; the others are there to be compared with.
      const left = narrow ? 44 : 124, own = plan.own_lanes;
      const lanes = others ? plan.lanes.length : own;
      const u = scale === "time" ? at => at / plan.length : byOrder(plan, knots);
      const x = at => left + (u(at) - view[0]) / (view[1] - view[0]) * (width - left - 6);
      canvas.textContent = "";
      const svg = add(canvas, "svg", {tabindex: 0, role: "group", "aria-label": `Timeline of ${plan.operations.length} ` +
        "operations; arrow keys move it, + and − zoom, 0 shows all, Tab goes through its operations"});
      const put = layOut(svg, x, left, narrow, own, lanes);
      const y = op => put.bars[op.lane];
      const top = row => put.tops[row];
      const height = put.tops[lanes] + AXIS;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("height", height);
      const clip = `clip-${figure.dataset.finding}`;
      add(add(add(svg, "defs"), "clipPath", {id: clip}), "rect", {x: left, y: 0, width: width - left, height});
      for (let row = 0; row < lanes; row++) {
        const tall = row < own, about = plan.lanes[row].about;
        if (row % 2 === 0) add(svg, "rect", {class: "lane", x: 0, y: top(row), width, height: top(row + 1) - top(row)});
        const name = add(svg, "text", {class: tall ? "lane-name" : "lane-about", x: 8, y: top(row) + (tall && !narrow ? 18 : 14)},
          plan.lanes[row].name);
        if (tall && !narrow) add(svg, "text", {class: "lane-about", x: 8, y: top(row) + 32}, about);
        else if (tall || !narrow) add(name, "tspan", {class: "lane-about", dx: 6}, about);
      }
      const inside = add(svg, "g", {"clip-path": `url(#${clip})`});
      axis(svg, inside, x, left, height);
      const bars = add(inside, "g");
      if (others) for (const op of plan.others) bar(bars, op, x, y, "faint");
      for (const [from, to] of plan.links) link(inside, plan.operations[from], plan.operations[to], x, y, THICK);
      for (const op of plan.operations) bar(inside, op, x, y, op.focus ? "focus" : "");
      for (const label of put.labels) {
        const parent = label.op ? label.op.drawn : inside;
        if (!parent) continue;
        const text = add(parent, "text", {x: label.x, y: label.y, class: label.style}, label.text);
        if (label.mark) text.classList.add("stroke-mark");
      }
      pointing(svg, left);
      if (focused >= 0) (canvas.querySelectorAll("[tabindex]")[focused] || svg).focus();
    }

    // Where lanes, bars and labels go. A label stands in its bar, or beside it in its lane, or in a row of its own below
    // the bar: where no other label and no other bar of the witness is. A lane is as high as its labels need.
    function layOut(svg, x, left, narrow, own, lanes) {
      const probe = add(svg, "text", {visibility: "hidden"});
      const long = text => { probe.textContent = text; return probe.getComputedTextLength() + 10; };
      const put = {tops: [0], bars: [], labels: []};
      for (let row = 0; row < lanes; row++) {
        const tall = row < own, barTop = put.tops[row] + (tall ? (narrow ? 20 : 8) : 0);
        put.bars.push(barTop);
        const ops = plan.operations.filter(op => op.lane === row);
        const edges = ops.map(op => [x(op.a), Math.max(x(op.a) + BAR_MIN, x(op.b))]);
        const taken = [[], ...Array(ROWS).fill().map(() => [])];  // of each row: from, to; the first is the bars' own
        let rows = 0;
        const free = (line, from, to, mine) => from >= left && to <= width && taken[line].every(([a, b]) => b <= from || a >= to)
          && (line > 0 || edges.every(([a, b], at) => at === mine || b <= from || a >= to));
        const place = (label, from, mine, long) => {
          const spots = mine === null ? [] : [[edges[mine][1] + 2, 0], [edges[mine][0] - 2 - long, 0]];
          for (let line = 1; line <= ROWS; line++) spots.push([Math.max(left, Math.min(from, width - long)), line]);
          const spot = spots.find(([at, line]) => free(line, at, at + long, mine));
          if (!spot) return;
          taken[spot[1]].push([spot[0], spot[0] + long]);
          rows = Math.max(rows, spot[1]);
          put.labels.push({...label, x: spot[0] + 5, y: barTop + (spot[1] ? THICK + 12 + (spot[1] - 1) * ROW : THICK / 2 + 4)});
        };
        if (tall) {
          ops.forEach((op, at) => {
            const [a, b] = edges[at];
            if (a > width || b < left) return;
            const text = op.label, need = long(text), from = Math.max(a, left), to = Math.min(b, width);
            if (need <= to - from) put.labels.push({op, text, style: op.reads ? "" : "inside", x: from + 5, y: barTop + THICK / 2 + 4});
            else place({op, text, style: ""}, from, at, need);
          });
        }
        for (const mark of plan.marks.filter(mark => mark.lane === row)) {
          const text = {kill: "✕ killed", pause: "‖ paused", fill: "▦ disk full"}[mark.fault] || mark.fault;
          const at = x(mark.a);
          if (at < left || at > width) continue;
          if (tall) place({text, style: "", mark: true}, at, null, long(text));
          else put.labels.push({text: text[0], style: "", mark: true, x: at, y: barTop + 14});
        }
        put.tops.push(put.tops[row] + (tall ? (narrow ? LANE + 10 : LANE) + rows * ROW : THIN));
      }
      probe.remove();
      return put;
    }

    function bar(parent, op, x, y, role) {
      const a = x(op.a), wide = Math.max(BAR_MIN, x(op.b) - a);
      op.drawn = null;
      if (a > width + 10 || a + wide < -10) return;
      const reads = op.reads ? " reads" : "", open = op.outcome === "ok" ? "" : " open";
      const group = add(parent, "g", {class: `bar ${op.colour} ${role}${reads}${open}`});
      const inset = role === "faint" ? 5 : 0, small = op.lane >= plan.own_lanes;
      add(group, "rect", {x: a, y: y(op) + (small ? 4 : inset), width: wide, height: small ? THIN - 8 : THICK - 2 * inset, rx: 3});
      if (op.held) {
        add(group, "rect", {class: "held", x: x(op.held[0]), y: y(op) + THICK - 5,
          width: Math.max(2, x(op.held[1]) - x(op.held[0])), height: 4});
      }
      const words = inWords(plan, op);
      if (role !== "faint") {
        group.setAttribute("tabindex", 0);
        group.setAttribute("role", "img");
        group.setAttribute("aria-label", words.replaceAll("\n", "; "));
        group.addEventListener("focus", () => {
          const box = group.getBoundingClientRect();
          showTip(words, box.left, box.bottom);
        });
        group.addEventListener("blur", () => { tip.hidden = true; });
      }
      group.addEventListener("pointermove", event => showTip(words, event.clientX, event.clientY));
      group.addEventListener("pointerleave", () => { tip.hidden = true; });
      op.drawn = group;
    }

    function link(parent, from, to, x, y, thick) {
      const x1 = Math.max(x(from.a), Math.min(x(from.b), x(to.a))), x2 = x(to.a);
      const down = to.lane > from.lane, same = to.lane === from.lane;
      const y1 = y(from) + (down ? thick : 0), y2 = y(to) + (down ? 0 : thick);
      const group = add(parent, "g", {class: from.colour});
      if (same) {
        const low = y(from) + thick - 2;  // below the words
        add(group, "path", {class: "link", d: `M${x(from.b)},${low} L${x2},${low}`});
        add(group, "path", {class: "arrowhead", d: `M${x2},${low} l-8,-4 v8 z`});
        return;
      }
      const end = Math.max(x2 + 6, Math.min(x1 + 20, x(to.b) - 4));
      const bend = (y1 + y2) / 2;
      add(group, "path", {class: "link", d: `M${x1},${y1} C${x1},${bend} ${end},${bend} ${end},${y2 + (down ? -7 : 7)}`});
      add(group, "path", {class: "arrowhead", d: down ? `M${end},${y2} l-4,-8 h8 z` : `M${end},${y2} l-4,8 h8 z`});
    }

    function axis(svg, inside, x, left, height) {
      let taken = -Infinity;
      const bottom = height - AXIS;
      const ticks = scale === "order" ? knots : even(x, left);
      for (const at of ticks) {
        const place = x(at);
        if (place < left || place > width) continue;
        add(inside, "line", {class: scale === "order" ? "edge" : "grid", x1: place, x2: place, y1: 0, y2: bottom});
        const words = (plan.from + at / 1e6).toFixed(3);
        const half = words.length * 3.4;
        const centre = Math.max(left + half, Math.min(place, width - half - 24));
        if (centre - half < taken + 8) continue;
        taken = centre + half;
        add(svg, "text", {class: "tick", x: centre, y: height - 9, "text-anchor": "middle"}, words);
      }
      add(svg, "text", {class: "tick", x: width - 5, y: height - 9, "text-anchor": "end"}, "ms");
    }

    function even(x, left) {
      const shown = (view[1] - view[0]) * plan.length, rough = shown / Math.max(2, (width - left) / 110);
      const unit = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map(n => n * unit).find(n => n >= rough);
      const first = Math.ceil((view[0] * plan.length + plan.from * 1e6) / step) * step - plan.from * 1e6;
      const made = [];
      for (let at = first; at <= view[1] * plan.length; at += step) made.push(at);
      return made;
    }

    function zoom(factor, middle) {
      const long = Math.min(1, Math.max(1e-6, (view[1] - view[0]) * factor));
      const share = (middle - view[0]) / (view[1] - view[0]);
      const start = Math.max(0, Math.min(1 - long, middle - share * long));
      view = [start, start + long];
      draw();
    }

    function move(by) {
      const long = view[1] - view[0];
      const start = Math.max(0, Math.min(1 - long, view[0] + by));
      view = [start, start + long];
      draw();
    }

    function pointing(svg, left) {
      const toScale = pixels => pixels / (width - left - 6) * (view[1] - view[0]);
      svg.addEventListener("wheel", event => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const at = view[0] + toScale(event.clientX - svg.getBoundingClientRect().left - left);
        zoom(event.deltaY > 0 ? 1.25 : 0.8, at);
      }, {passive: false});
      svg.addEventListener("pointerdown", event => {
        const start = event.clientX, before = view.slice(), long = before[1] - before[0];
        let waiting = false, latest = start;
        const drag = moved => {
          latest = moved.clientX;
          if (waiting || Math.abs(latest - start) < 3) return;
          waiting = true;
          requestAnimationFrame(() => {
            waiting = false;
            const from = Math.max(0, Math.min(1 - long, before[0] - (latest - start) / (width - left - 6) * long));
            view = [from, from + long];
            draw();
          });
        };
        const done = () => {
          removeEventListener("pointermove", drag);
          removeEventListener("pointerup", done);
          removeEventListener("pointercancel", done);
        };
        addEventListener("pointermove", drag);
        addEventListener("pointerup", done);
        addEventListener("pointercancel", done);
      });
      svg.addEventListener("keydown", event => {
        const act = {"+": () => zoom(0.7, (view[0] + view[1]) / 2), "=": () => zoom(0.7, (view[0] + view[1]) / 2),
          "-": () => zoom(1.4, (view[0] + view[1]) / 2), "0": () => { view = [0, 1]; draw(); },
          ArrowLeft: () => move(-0.1 * (view[1] - view[0])), ArrowRight: () => move(0.1 * (view[1] - view[0]))}[event.key];
        if (!act || event.target !== svg) return;
        event.preventDefault();
        act();
      });
    }

    function press() {
      for (const button of figure.querySelectorAll("[data-scale]")) {
        button.setAttribute("aria-pressed", button.dataset.scale === scale);
      }
    }

    for (const button of figure.querySelectorAll("[data-scale]")) {
      button.addEventListener("click", () => { scale = button.dataset.scale; view = [0, 1]; press(); draw(); });
    }
    for (const button of figure.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => {
        if (button.dataset.zoom === "all") { view = [0, 1]; draw(); return; }
        zoom(button.dataset.zoom === "in" ? 0.6 : 1.7, (view[0] + view[1]) / 2);
      });
    }
    const box = figure.querySelector("[data-others]");
    box.addEventListener("change", () => { others = box.checked; draw(); });
    box.parentNode.hidden = !plan.others.length;
    if (plan.hidden) box.parentNode.append(` (${plan.hidden.toLocaleString("en")} more are not drawn)`);
    press();
    new ResizeObserver(() => { if (canvas.clientWidth !== width) draw(); }).observe(canvas);
    draw();
  }

  for (const figure of document.querySelectorAll(".timeline")) {
    timeline(figure, timelines[figure.dataset.finding]);
  }
})();
