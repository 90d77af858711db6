/** Builds the page of `pith sensitivity`: charts and tables of the drop of each layer by technique and setting. */
import { allowance, bytes, changeInterval, counted, figure, unitOfChange } from "../../core/numbers.ts";
import {
  changeOfDrop,
  equalSettingsText,
  headline,
  kindWords,
  resolutionOf,
  type Sensitivity,
  type SensitivityKind,
  type SensitivityRow,
  type SweptLayers,
  selectKind,
  sensitivityKinds,
  sweptChangeText,
  unresolvedText,
} from "../../search/sensitivity/sensitivity-record.ts";
import { type Content, html, type Markup, page } from "./markup.ts";
import {
  drawGrid,
  frameOf,
  label,
  line,
  linear,
  pathThrough,
  px,
  spreadOut,
  tickText,
  truncate,
  verticalAxis,
} from "./scale.ts";
import { reportStyle } from "./style.ts";
import { numberCell, numberHead, textHead, wideTable } from "./tables.ts";

export function sensitivityPage(sensitivity: Sensitivity): string {
  const { model, metric, original, data, misses, open, seed, version } = sensitivity;
  const kinds = sensitivityKinds.filter((kind) => sensitivity.rows.some((row) => row.kind === kind));
  const samples = data.count === undefined ? "samples" : `at most ${counted(data.count, "sample")}`;
  const unresolvedNote = unresolvedText(sensitivity);
  const body = html`<main>
<header><div class="eyebrow">Sensitivity of the layers of <span class="name">${model}</span></div>
<h1>${headline(sensitivity)}</h1>
<p class="lead">Each layer was changed alone, and ${metric.name} was compared with the original's (${figure(metric.unit, original.value)} on the first ${counted(original.count, "sample")}) on ${samples} of ${data.name}. Sampling stopped once the drop was known to ±${allowance(metric.unit, resolutionOf(sensitivity))} or ±25 %.</p>
${unresolvedNote !== undefined && html`<p class="doubt">${unresolvedNote}</p>`}
${open > 0 && html`<p class="doubt">${counted(open, "setting")} not measured: the time limit was reached.</p>`}
</header>
${kinds.map((kind) => kindSection(sensitivity, kind))}
${misses.length > 0 && html`<h2>Skipped layers</h2><ul class="reasons">${misses.map(({ kind, at, reason }) => html`<li><span class="name">${at ?? "the model"}</span> ${kindWords[kind].title}: ${reason}</li>`)}</ul>`}
<footer>Made by pith ${version}, seed ${seed}. Drops of layers do not add up: measure the model that a recipe produces.</footer>
</main>`;
  return page({ title: `${model}: ${headline(sensitivity)}`, style: `${reportStyle}${style}`, body });
}

const style = `
.sweep g { --hue: var(--line); } .sweep path { fill: none; stroke: var(--hue); stroke-width: 1.3; } .sweep circle { fill: var(--hue); }
.sweep g[class^=layer] path { stroke-width: 1.8; }
.sweep .names text[class^=layer] { fill: var(--hue); } .sweep .names line[class^=layer] { stroke: var(--hue); }
.sweep .layer0 { --hue: #1d5d86; } .sweep .layer1 { --hue: #b4541f; } .sweep .layer2 { --hue: #2b6b4b; }
.sweep .layer3 { --hue: #7d4a9c; } .sweep .layer4 { --hue: #85600f; } .sweep .layer5 { --hue: #b03a5b; }
@media (prefers-color-scheme: dark) {
  .sweep .layer0 { --hue: #86b9de; } .sweep .layer1 { --hue: #f0a070; } .sweep .layer2 { --hue: #83c5a1; }
  .sweep .layer3 { --hue: #c9a0e6; } .sweep .layer4 { --hue: #dcb766; } .sweep .layer5 { --hue: #f094ae; }
}
`;

const frame = frameOf(980, 320, { top: 34, right: 190, bottom: 40, left: 62 });
/** Number of layers, the most sensitive ones, whose lines have a color and a name. */
const namedLayerCount = 6;
const nameLength = 26;

function kindSection(sensitivity: Sensitivity, kind: SensitivityKind): Markup {
  const { settings, layers } = selectKind(sensitivity, kind);
  const { unit, name: metric } = sensitivity.metric;
  const { title, text } = kindWords[kind];
  const cell = (row: SensitivityRow | undefined): Markup => {
    if (row === undefined) return numberCell(undefined);
    const interval = changeInterval(unit, { ...row.drop, ...changeOfDrop(sensitivity.metric, row.drop) });
    return numberCell(
      sweptChangeText(sensitivity.metric, row.drop),
      `${interval}, ${counted(row.drop.count, "sample")}`,
    );
  };
  const row = ({ name, rows }: SweptLayers): Markup =>
    html`<tr><td class="text"><span class="name">${name}</span></td>${numberCell(bytes(rows.find((row) => row !== undefined)?.bytes ?? 0))}${rows.map(cell)}</tr>\n`;
  const heads = [textHead("layer"), numberHead("weights"), settings.map((setting) => numberHead(text(setting)))];
  return html`<h2>${title}</h2>
<figure class="wide">${drawSweep(sensitivity, kind)}
<figcaption>Drop of ${metric} by layer. The layers that lose most are named.</figcaption></figure>
${wideTable(heads, layers.map(row))}
<p class="note">Change (result − original)${unitOfChange(unit) === "" ? "" : ` in ${unitOfChange(unit)}`}, with its 95 % interval, most sensitive layer first. ${equalSettingsText({ layers }) ?? ""}</p>`;
}

function drawSweep(sensitivity: Sensitivity, kind: SensitivityKind): Markup {
  const { settings, layers } = selectKind(sensitivity, kind);
  const { unit, name: metric } = sensitivity.metric;
  const { title, text } = kindWords[kind];
  const { width, height, left, right, top, bottom } = frame;
  const lines = layers.map(({ name, rows }, index) => {
    const drops = rows.flatMap((row, setting) =>
      row !== undefined && Number.isFinite(row.drop.value)
        ? [{ setting, drop: row.drop.value, text: sweptChangeText(sensitivity.metric, row.drop) }]
        : [],
    );
    const points = [{ setting: -1, drop: 0, text: "" }, ...drops];
    return { name, points, className: index < namedLayerCount ? `layer${index}` : "" };
  });
  const values = lines.flatMap(({ points }) => points.map(({ drop }) => drop));
  const axis = verticalAxis(frame, Math.min(...values), Math.max(...values) || 0.01, 5);
  const y = axis.scale;
  const x = linear(-1, settings.length - 1, left, right);
  const lineEnds = lines.slice(0, namedLayerCount).map(({ points, ...layer }) => {
    const { setting, drop } = points.at(-1) ?? { setting: -1, drop: 0 };
    return { ...layer, x: x(setting), y: y(drop) };
  });
  const labelYs = spreadOut(
    lineEnds.map((end) => end.y),
    16,
    top,
    bottom,
  );
  const drawLine = ({ name, points, className }: (typeof lines)[number]): Markup =>
    html`<g class="${className}"><title>${name}</title><path d="${pathThrough(points.map(({ setting, drop }) => [x(setting), y(drop)]))}"/>${points.slice(1).map(({ setting, drop, text: changeText }) => html`<circle cx="${px(x(setting))}" cy="${px(y(drop))}" r="3"><title>${name}, ${text(settings[setting] ?? 0)}: ${changeText}</title></circle>`)}</g>`;
  const drawName = ({ name, className, x, y }: (typeof lineEnds)[number], index: number): Content => {
    const labelY = labelYs[index] ?? 0;
    const text = label(right + 12, labelY + 4, truncate(name, nameLength), "start", className);
    return [line(x + 4, right + 10, y, labelY, className), text];
  };
  return html`<svg class="chart broad sweep" viewBox="0 0 ${width} ${height}" role="img" aria-label="Drop of ${metric} by layer: ${title}">
${drawGrid(frame, axis, (tick) => tickText(unit, tick, axis.ticks))}
<g class="tick">${["unchanged", ...settings.map(text)].map((setting, index) => label(x(index - 1), bottom + 18, setting, "middle"))}</g>
<g class="axis">${line(left, right, bottom, bottom)}${label(2, 14, `↑ drop of ${metric}`, "start")}</g>
${lines.toReversed().map(drawLine)}
<g class="names">${lineEnds.map(drawName)}</g>
</svg>`;
}
