import { allowance, bytes, changeInterval, counted, figure, unitOfChange } from "../../core/numbers.ts";
import {
  dropText,
  equalSettingsText,
  headline,
  kindWords,
  resolutionOf,
  type Sensitivity,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityKinds,
  sweptBy,
  unresolvedText,
} from "../../search/sensitivity/sensitivity-record.ts";
import { px, tickText, truncate } from "./chart.ts";
import { html, type Markup } from "./markup.ts";
import { page } from "./page.ts";
import { linear, spreadOut, ticks } from "./scale.ts";
import { reportStyle } from "./style.ts";

export function sensitivityPage(found: Sensitivity): string {
  const { model, metric, original, data, misses, open, seed, version } = found;
  const kinds = sensitivityKinds.filter((kind) => found.rows.some((row) => row.kind === kind));
  const samples = data.count === undefined ? "samples" : `at most ${counted(data.count, "sample")}`;
  const unresolved = unresolvedText(found);
  const body = html`<main>
<header><div class="eyebrow">Sensitivity of the layers of <span class="name">${model}</span></div>
<h1>${headline(found)}</h1>
<p class="lead">Each layer was changed alone, and ${metric.name} was compared with the original's (${figure(metric.unit, original.value)} on the first ${counted(original.count, "sample")}) on ${samples} of ${data.name}. Sampling stopped once the drop was known to ±${allowance(metric.unit, resolutionOf(found))} or ±25 %.</p>
${unresolved !== undefined && html`<p class="doubt">${unresolved}</p>`}
${open > 0 && html`<p class="doubt">${counted(open, "setting")} not measured: the time limit was reached.</p>`}
</header>
${kinds.map((kind) => sectionOf(found, kind))}
${misses.length > 0 && html`<h2>Skipped layers</h2><ul class="reasons">${misses.map(({ kind, at, reason }) => html`<li><span class="name">${at ?? "the model"}</span> ${kindWords[kind].title}: ${reason}</li>`)}</ul>`}
<footer>Made by pith ${version}, seed ${seed}. Drops of layers do not add up: measure the model that a recipe produces.</footer>
</main>`;
  return page({ title: `${model}: ${headline(found)}`, style: `${reportStyle}${style}`, body });
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

const [width, height] = [980, 320];
const margin = { top: 34, right: 190, bottom: 40, left: 62 };
const named = 6;
const nameLength = 26;

function sectionOf(found: Sensitivity, kind: SensitivityKind): Markup {
  const { settings, layers } = sweptBy(found, kind);
  const { unit } = found.metric;
  const cell = (row: SensitivityRow | undefined): Markup =>
    row === undefined
      ? html`<td class="n">–</td>`
      : html`<td class="n">${dropText(unit, row.drop.value)}<small>${changeInterval(unit, row.drop).replaceAll("+", "")}, ${counted(row.drop.count, "sample")}</small></td>`;
  return html`<h2>${kindWords[kind].title}</h2>
<figure class="wide">${picture(found, kind)}
<figcaption>Drop of ${found.metric.name} by layer. The layers that lose most are named.</figcaption></figure>
<div class="wide"><table>
<thead><tr><th>layer</th><th class="n">weights</th>${settings.map((setting) => html`<th class="n">${kindWords[kind].text(setting)}</th>`)}</tr></thead>
<tbody>${layers.map(({ name, rows }) => html`<tr><td class="text"><span class="name">${name}</span></td><td class="n">${bytes(rows.find((row) => row !== undefined)?.bytes ?? 0)}</td>${rows.map(cell)}</tr>\n`)}</tbody></table></div>
<p class="note">Drop${unitOfChange(unit) === "" ? "" : ` in ${unitOfChange(unit)}`}, with its 95 % interval, most sensitive layer first. ${equalSettingsText({ layers }) ?? ""}</p>`;
}

function picture(found: Sensitivity, kind: SensitivityKind): Markup {
  const { settings, layers } = sweptBy(found, kind);
  const { unit, name: metric } = found.metric;
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const values = layers.flatMap(({ rows }) =>
    rows.flatMap((row) => (Number.isFinite(row?.drop.value) ? (row?.drop.value ?? 0) : [])),
  );
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values) || 0.01];
  const y = linear(low, high, bottom, margin.top);
  const x = linear(-1, settings.length - 1, margin.left, right);
  const lines = layers.map(({ name, rows }, place) => {
    const points = [
      { at: -1, drop: 0 },
      ...rows.flatMap((row, at) =>
        row === undefined || !Number.isFinite(row.drop.value) ? [] : { at, drop: row.drop.value },
      ),
    ];
    return {
      name,
      points,
      look: place < named ? `layer${place}` : undefined,
      last: points.at(-1) ?? { at: -1, drop: 0 },
    };
  });
  const labels = lines.filter(({ look }) => look !== undefined);
  const places = spreadOut(
    labels.map(({ last }) => y(last.drop)),
    16,
    margin.top,
    bottom,
  );
  const draw = ({ name, points, look }: (typeof lines)[number]): Markup => {
    const path = points.map(({ at, drop }, index) => `${index === 0 ? "M" : "L"}${px(x(at))} ${px(y(drop))}`).join("");
    return html`<g class="${look ?? ""}"><title>${name}</title><path d="${path}"/>${points.slice(1).map(({ at, drop }) => html`<circle cx="${px(x(at))}" cy="${px(y(drop))}" r="3"><title>${name}, ${kindWords[kind].text(settings[at] ?? 0)}: ${dropText(unit, drop)}</title></circle>`)}</g>`;
  };
  const all = ticks(low, high, 5);
  return html`<svg class="chart broad sweep" viewBox="0 0 ${width} ${height}" role="img" aria-label="Drop of ${metric} by layer: ${kindWords[kind].title}">
<g class="grid">${all.map((tick) => html`<line x1="${margin.left}" x2="${right}" y1="${px(y(tick))}" y2="${px(y(tick))}"/>`)}</g>
<g class="tick">${all.map((tick) => html`<text x="${margin.left - 10}" y="${px(y(tick) + 4)}" text-anchor="end">${tickText(unit, tick, all)}</text>`)}
<text x="${px(x(-1))}" y="${bottom + 18}" text-anchor="middle">unchanged</text>${settings.map((setting, at) => html`<text x="${px(x(at))}" y="${bottom + 18}" text-anchor="middle">${kindWords[kind].text(setting)}</text>`)}</g>
<g class="axis"><line x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/><text x="2" y="14">↑ drop of ${metric}</text></g>
${lines.toReversed().map(draw)}
<g class="names">${labels.map(({ name, look = "", last }, at) => html`<line class="${look}" x1="${px(x(last.at) + 4)}" y1="${px(y(last.drop))}" x2="${px(right + 10)}" y2="${px(places[at] ?? 0)}"/><text class="${look}" x="${px(right + 12)}" y="${px((places[at] ?? 0) + 4)}">${truncate(name, nameLength)}</text>`)}</g>
</svg>`;
}
