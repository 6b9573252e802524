// The explorer of a report. Everything that comes from a run is put in as text, never as markup.
"use strict";
(async () => {
  const root = document.getElementById("explorer");
  const at = Object.fromEntries([...root.querySelectorAll("[data-role]")].map((found) => [found.dataset.role, found]));
  const HEIGHT = 240;
  const NEVER = -1;
  const SIDES = { base: "Next token at the base", before: "Before the jump", after: "After the jump", target: "At the target" };
  const BESIDE = ["before", "after"];

  async function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const data = await unpacked(document.getElementById("explorer-data").textContent);
  const ordered = data.experiments.map(unfolded);
  const chosen = { experiment: 0, metric: data.metric, hidden: new Set(), brushed: 0, from: 0, to: 0, prompt: telling() };
  const charts = {};

  // Lists that were written flat, as [prompt][type][metric] and so on; curves were written as second differences.
  function unfolded(found) {
    const [types, metrics, steps] = [found.types.length, data.metrics.length, found.x.length];
    const index = (prompt, type, metric) => (prompt * types + type) * metrics + metric;
    const points = found.curves.length / steps;
    const curves = Array.from({ length: points }, (_, place) => {
      let [value, slope] = [0, 0];
      return found.curves.slice(place * steps, (place + 1) * steps).map((bend) => {
        slope += bend;
        value += slope;
        return (value / data.levels) * found.tops[place];
      });
    });
    return {
      ...found,
      curve: (prompt, type, metric) => curves[index(prompt, type, metric)],
      jump: (prompt, type, metric) => (found.jumps ? found.jumps[index(prompt, type, metric)] : NEVER),
      likely: (prompt, type, metric, side) => {
        const first = (index(prompt, type, metric) * data.sides.length + side) * data.ranks;
        return Array.from({ length: data.ranks }, (_, rank) => [found.tokens[first + rank], found.chances?.[first + rank]]);
      },
    };
  }

  // The first prompt whose most likely token changes as the curve towards the first type jumps; or along its whole path.
  function telling() {
    const top = (prompt, side) => ordered[0].likely(prompt, 0, data.metric, data.sides.indexOf(side))[0]?.[0];
    const jumps = (prompt) => ordered[0].jump(prompt, 0, data.metric) !== NEVER;
    const found = [["before", "after"], ["base", "target"]].map(([from, to]) =>
      ordered[0].prompts.findIndex((_, prompt) => jumps(prompt) && data.sides.includes(from) && top(prompt, from) !== top(prompt, to)));
    return found.find((prompt) => prompt >= 0) ?? 0;
  }

  const experiment = () => ordered[chosen.experiment];
  const metric = () => data.metrics[chosen.metric];
  const shown = () => experiment().types.map((type, index) => [type, index]).filter(([type]) => !chosen.hidden.has(type.name));
  const last = () => experiment().x.length - 1;
  // A step as it is said: with where it lies on the axis, if that is in other units.
  const placed = (step) => (experiment().x[step] === step ? `${step}` : `${step} (${number(experiment().x[step])})`);
  function number(value) {
    const size = Math.abs(value);
    return size === 0 ? "0" : value.toFixed(size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0).replace("-", "−");
  }

  // Letters that cannot be seen are made visible, as the rest of the report does (report/text.py).
  const visible = (text) =>
    text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, (letter) =>
      ({ "\n": "↵", "\t": "⇥", "\r": "␍" })[letter] ?? `[U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`,
    ) || "(empty)";
  // In the list the mark that opens every prompt would take the place of what tells them apart.
  const OPENING = /^<(\|\w+\||bos|s)>(?=.)/su;
  const opensAll = Object.values(data.texts).every((text) => OPENING.test(text));
  const inShort = (text) => visible(opensAll ? text.replace(OPENING, "") : text);

  // Colours follow the page, whichever it is.
  function luminance(color) {
    const [red, green, blue, alpha] = (color.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
    return alpha === 0 ? null : (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
  }
  function isDark() {
    for (let element = root; element; element = element.parentElement) {
      const found = luminance(getComputedStyle(element).backgroundColor);
      if (found !== null) return found < 0.4;
    }
    return false;
  }
  const colorOf = (type) => (isDark() ? type.dark : type.light);

  function drawn(name, label, series, { y, brush, jumps, axis }) {
    const [place, values] = [at[name], at[`${name}-values`]];
    const ink = getComputedStyle(root).color;
    const faint = ink.replace(/rgba?\(([^,]+,[^,]+,[^,)]+).*\)/, "rgba($1, 0.15)");
    const font = `12px ${getComputedStyle(root).fontFamily}`;
    const { x } = experiment();
    const words = (index) => `step ${placed(index)}: ${series.map(({ type, values }) => `${type.label} ${number(values[index] ?? 0)}`).join(", ")}`;
    const read = (index) => {
      values.textContent = index == null ? "The values of a step stand here while the pointer is on the picture." : words(index);
    };
    // room for the longest of them, so that nothing below moves
    values.style.minHeight = "";
    values.textContent = x.map((_, index) => words(index)).reduce((one, other) => (other.length > one.length ? other : one));
    values.style.minHeight = `${Math.ceil(values.getBoundingClientRect().height)}px`;
    const axes = { stroke: ink, font, labelFont: font, labelSize: 18, labelGap: 0, grid: { stroke: faint, width: 1 }, ticks: { stroke: faint, width: 1 } };
    const limit = jumps && usual(series);
    charts[name]?.destroy();
    const chart = new uPlot(
      {
        width: Math.max(place.clientWidth, 200),
        height: HEIGHT,
        legend: { show: false },
        scales: { x: { time: false, range: () => [x[0], x[last()]] }, y: { range: (_, low, high) => [0, y ?? limit ?? (high > 0 ? high * 1.05 : 1)] } },
        axes: [
          { ...axes, label: experiment().axis, size: 34 },
          { ...axes, label: axis, size: (_, ticks) => 22 + 7 * Math.max(3, ...(ticks ?? []).map((tick) => tick?.length ?? 0)) },
        ],
        cursor: { y: false, points: { show: false }, drag: { x: brush, y: false, setScale: false } },
        series: [
          {},
          ...series.map(({ type, path }) => ({
            label: type.label,
            stroke: colorOf(type),
            width: type.width,
            dash: type.dash,
            points: { show: false },
            ...(path === "stepped" ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
          })),
        ],
        hooks: {
          setCursor: [(own) => tell(own, own.cursor.idx)],
          setSelect: [(own) => brush && dragged(own)],
          draw: jumps ? [(own) => dots(own, jumps), (own) => limit && peaks(own, series, limit, ink, font)] : [],
        },
      },
      [x, ...series.map(({ values }) => values)],
      place,
    );
    charts[name] = chart;
    chart.read = read;
    read(null);
    place.setAttribute("aria-label", label);
    if (brush) brushDrawn(chart);
  }

  // One picture at a time says the values of a step: the one that was read last.
  function tell(chart, index) {
    if (index != null) for (const other of Object.values(charts)) if (other !== chart) other.read?.(null);
    chart.read?.(index);
  }

  // As in the static figure: a peak of a few steps does not set the scale, but is marked with the value that it reaches.
  function usual(series) {
    const sorted = series.flatMap(({ values }) => values).sort((one, other) => one - other);
    const most = sorted[Math.floor(0.99 * (sorted.length - 1))];
    return sorted.at(-1) > 1.5 * most && most > 0 ? 1.08 * most : null;
  }

  function peaks(chart, series, limit, ink, font) {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.font = font.replace("12px", `${12 * devicePixelRatio}px`);
    ctx.textBaseline = "top";
    for (const { type, values } of series) {
      const highest = Math.max(...values);
      if (highest <= limit) continue;
      const [left, size] = [chart.valToPos(experiment().x[values.indexOf(highest)], "x", true), 6 * devicePixelRatio];
      ctx.fillStyle = colorOf(type);
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left - size, bbox.top + 1.7 * size);
      ctx.lineTo(left + size, bbox.top + 1.7 * size);
      ctx.fill();
      const isRight = left > bbox.left + bbox.width / 2;
      ctx.fillStyle = ink;
      ctx.textAlign = isRight ? "right" : "left";
      ctx.fillText(`to ${number(highest)}`, left + (isRight ? -1.5 : 1.5) * size, bbox.top);
    }
    ctx.restore();
  }

  function dots(chart, jumps) {
    for (const { type, step, value } of jumps) {
      const [left, top] = [chart.valToPos(experiment().x[step], "x", true), chart.valToPos(value, "y", true)];
      chart.ctx.beginPath();
      chart.ctx.arc(left, top, 4 * devicePixelRatio, 0, 2 * Math.PI);
      chart.ctx.fillStyle = colorOf(type);
      chart.ctx.fill();
    }
  }

  // The range of steps
  const isWhole = () => chosen.from === 0 && chosen.to === last();
  const stepAt = (value) => Math.min(Math.max(Math.round((value / experiment().x[last()]) * last()), 0), last());

  function dragged(chart) {
    const { left, width } = chart.select;
    range(stepAt(chart.posToVal(left, "x")), stepAt(chart.posToVal(left + width, "x")));
  }

  function brushDrawn(chart) {
    const { x } = experiment();
    const half = x[1] / 2;
    const [left, right] = [Math.max(x[chosen.from] - half, x[0]), Math.min(x[chosen.to] + half, x[last()])].map((value) => chart.valToPos(value, "x"));
    const height = isWhole() ? 0 : chart.over.clientHeight;
    chart.setSelect({ left, width: right - left, top: 0, height }, false);
  }

  function range(from, to, moved) {
    [chosen.from, chosen.to] = [Math.min(from, to), Math.max(from, to)].map((step) => Math.min(Math.max(step, 0), last()));
    for (const [name, value] of [["from", chosen.from], ["to", chosen.to]]) {
      Object.assign(at[name], { max: last(), value });
      at[`${name}-value`].textContent = placed(value);
    }
    for (const name of ["steps", "means"]) brushDrawn(charts[name]);
    if (moved != null) tell(at.means === document.activeElement ? charts.means : charts.steps, chosen[moved]);
    listed();
  }

  function keyed(event) {
    const width = chosen.to - chosen.from;
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -width - 1, PageDown: width + 1 }[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (by && event.shiftKey) range(chosen.from, Math.max(chosen.to + by, chosen.from), "to");
    else if (by && isWhole()) {
      const counts = experiment().counts[chosen.brushed][chosen.metric];
      const from = by > 0 ? Math.max(counts.findIndex((count) => count), 0) : last() - 10;
      range(from, from + 10, "to");
    }
    else if (by) {
      const from = Math.min(Math.max(chosen.from + by, 0), last() - width);
      range(from, from + width, "to");
    } else if (event.key === "Home") range(0, width === last() ? 10 : width, "to");
    else if (event.key === "End") range(last() - (width === last() ? 10 : width), last(), "to");
    else if (event.key === "Escape") range(0, last());
    else return;
    event.preventDefault();
  }

  // The prompts within it
  function listed() {
    const found = experiment();
    const jumps = found.prompts
      .map((_, prompt) => [found.jump(prompt, chosen.brushed, chosen.metric), prompt])
      .filter(([step]) => (isWhole() ? true : step >= chosen.from && step <= chosen.to && step !== NEVER))
      .sort(([one, first], [other, second]) => (one === NEVER) - (other === NEVER) || one - other || first - second);
    if (jumps.length && !jumps.some(([, prompt]) => prompt === chosen.prompt)) {
      chosen.prompt = jumps[0][1];
      opened();
    }
    at.prompts.replaceChildren(
      ...jumps.map(([step, prompt]) =>
        make("option", {
          value: prompt,
          textContent: `${step === NEVER ? "none" : step} · ${inShort(data.texts[found.prompts[prompt]])}`,
          selected: prompt === chosen.prompt,
        }),
      ),
    );
    const counts = found.counts[chosen.brushed][chosen.metric];
    const total = found.totals[chosen.brushed][chosen.metric];
    const within = counts.slice(chosen.from, chosen.to + 1).reduce((sum, count) => sum + count, 0);
    const where = chosen.from === chosen.to ? `at step ${chosen.from}` : `at steps ${chosen.from} to ${chosen.to}`;
    const few = found.prompts.length < found.samples ? ` ${jumps.length} of the ${found.prompts.length} that can be opened here are listed.` : "";
    at.found.textContent = `${within} of ${total} prompts jump ${where} towards ${found.types[chosen.brushed].label} on ${metric().label}.${few}`;
  }

  // One prompt
  function opened() {
    const [found, prompt] = [experiment(), chosen.prompt];
    const sample = found.prompts[prompt];
    at.prompt.textContent = `Prompt ${sample}`;
    at.text.textContent = visible(data.texts[sample]);
    const steps = shown().map(([type, index]) => ({ type, step: found.jump(prompt, index, chosen.metric), curve: found.curve(prompt, index, chosen.metric) }));
    const jumps = steps.filter(({ step }) => step !== NEVER).map(({ type, step, curve }) => ({ type, step, value: curve[step] }));
    drawn(
      "curves",
      `Curves of prompt ${sample} on ${metric().label}, with a dot at each jump; the table below has their steps`,
      steps.map(({ type, curve }) => ({ type, values: curve })),
      { axis: found.axes[chosen.metric], jumps },
    );
    const said = ["Type", "Jump at step", ...data.sides.map((side) => SIDES[side])];
    const heads = said.map((textContent) => make("th", { scope: "col", role: "columnheader", textContent }));
    const body = make(
      "tbody",
      { role: "rowgroup" },
      ...shown().map(([type, index]) => {
        const step = found.jump(prompt, index, chosen.metric);
        let former = null;
        const cells = data.sides.map((side, place) => {
          if (!found.jumps || (step === NEVER && BESIDE.includes(side))) return cell(said[place + 2], "–");
          const likely = found.likely(prompt, index, chosen.metric, place);
          const isNew = former !== null && likely[0][0] !== former;
          former = likely[0][0];
          return cell(said[place + 2], ...tokens(likely, isNew));
        });
        const name = make("th", { scope: "row", role: "rowheader", textContent: type.label });
        return make("tr", { role: "row" }, name, cell(said[1], step === NEVER ? "none" : placed(step)), ...cells);
      }),
    );
    const head = make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads));
    at.jumps.replaceChildren(make("table", { role: "table" }, head, body));
  }

  // On a telephone the cells of a row stand one below the other, each with the head of its column.
  function cell(head, ...parts) {
    const made = make("td", { role: "cell" }, ...parts);
    made.dataset.head = head;
    return made;
  }

  function tokens(likely, isNew) {
    const parts = likely.map(([token, chance], rank) => {
      const spaced = visible(data.tokens[token]).replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length));
      const text = make(isNew && !rank ? "mark" : "span", { className: "explorer-token", textContent: spaced });
      // what stands behind a token stays on its line: the share, and the comma
      const share = chance == null ? "" : `\u00a0${(chance / 10).toFixed(1)}\u00a0%`;
      const behind = make("span", { className: "explorer-share", textContent: `${share}${rank && rank < likely.length - 1 ? "," : ""}` });
      return make("span", { className: "explorer-likely" }, text, behind);
    });
    if (parts.length < 2) return parts;
    const others = parts.slice(1).flatMap((part, place) => (place ? [" ", part] : [part]));
    return [parts[0], make("span", { className: "explorer-others" }, "then ", ...others)];
  }

  // The whole
  function swatch(type) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("class", "explorer-swatch");
    picture.setAttribute("viewBox", "0 0 30 12");
    picture.setAttribute("aria-hidden", "true");
    const looks = { x1: 0, x2: 30, y1: 6, y2: 6, stroke: colorOf(type), "stroke-width": type.width, "stroke-dasharray": type.dash.join(" ") };
    for (const [name, value] of Object.entries(looks)) line.setAttribute(name, value);
    picture.append(line);
    return picture;
  }

  function options(select, texts, index) {
    select.replaceChildren(...texts.map((textContent, value) => make("option", { value, textContent, selected: value === index })));
  }

  function pictures() {
    const found = experiment();
    const curves = (values, path) => shown().map(([type, index]) => ({ type, path, values: values(index) }));
    const shares = (index) => {
      let sum = 0;
      const total = Math.max(found.totals[index][chosen.metric], 1);
      return found.counts[index][chosen.metric].map((count) => (sum += count) / total);
    };
    const keys = "Arrow keys move the range of steps.";
    drawn("steps", `Share of prompts that have jumped, by step, on ${metric().label}. ${keys}`, curves(shares, "stepped"), {
      axis: "share of prompts",
      y: 1,
      brush: true,
    });
    drawn("means", `Mean curves on ${metric().label}. ${keys}`, curves((index) => found.means[index][chosen.metric]), {
      axis: found.axes[chosen.metric],
      brush: true,
    });
    opened();
  }

  function changed() {
    const found = experiment();
    chosen.brushed = Math.min(chosen.brushed, found.types.length - 1);
    chosen.prompt = Math.min(chosen.prompt, found.prompts.length - 1);
    const labels = found.types.map((type) => {
      const box = make("input", { type: "checkbox", checked: !chosen.hidden.has(type.name) });
      box.addEventListener("change", () => {
        chosen.hidden[box.checked ? "delete" : "add"](type.name);
        pictures();
      });
      return make("label", {}, box, swatch(type), type.label);
    });
    at.types.replaceChildren(at.types.firstElementChild, ...labels);
    options(at.brushed, found.types.map((type) => type.label), chosen.brushed);
    at.note.textContent = [data.note, found.prompts.length < found.samples ? `The ${found.prompts.length} first of ${found.samples} prompts can be opened; they come in random order. The two pictures on top are of all.` : ""].join(" ").trim();
    pictures();
    range(0, last());
  }

  options(at.experiment, data.experiments.map((found) => found.title), chosen.experiment);
  options(at.metric, data.metrics.map((found) => found.label), chosen.metric);
  root.hidden = false;
  document.getElementById("explorer-none").hidden = true;
  at.experiment.addEventListener("change", () => { chosen.experiment = at.experiment.selectedIndex; changed(); });
  at.metric.addEventListener("change", () => { chosen.metric = at.metric.selectedIndex; pictures(); listed(); });
  at.brushed.addEventListener("change", () => { chosen.brushed = at.brushed.selectedIndex; listed(); });
  at.from.addEventListener("input", () => range(Number(at.from.value), Math.max(chosen.to, Number(at.from.value)), "from"));
  at.to.addEventListener("input", () => range(Math.min(chosen.from, Number(at.to.value)), Number(at.to.value), "to"));
  at.all.addEventListener("click", () => range(0, last()));
  at.prompts.addEventListener("change", () => { chosen.prompt = Number(at.prompts.value); opened(); });
  for (const name of ["steps", "means"]) at[name].addEventListener("keydown", keyed);
  for (const form of root.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
  changed();

  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth === width || !root.clientWidth) return;
    width = root.clientWidth;
    pictures();
  }).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
})().catch((error) => {
  // what does not work here is not shown: the line that the static figures stand in is
  document.getElementById("explorer").hidden = true;
  document.getElementById("explorer-none").hidden = false;
  console.warn(`explorer: ${error}`);
});
