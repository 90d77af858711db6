import { type Estimate, type Metric, usualDrop } from "../evaluate/index.ts";
import {
  allowance,
  bytes,
  change,
  changeInterval,
  counted,
  figure,
  integer,
  percent,
  unitOfChange,
} from "../evaluate/numbers.ts";
import { groupBy } from "../tensor/group-by.ts";
import { px, tickText, truncate } from "./chart.ts";
import { html, type Markup } from "./markup.ts";
import { page } from "./page.ts";
import { linear, spreadOut, ticks } from "./scale.ts";
import { reportStyle } from "./style.ts";

export const sensitivityKinds = ["prune", "channels", "bits", "rank"] as const;
/** Individual weights, channels, bits of a weight, share of the weights after factorization. */
export type SensitivityKind = (typeof sensitivityKinds)[number];

/** Budgets of recipes: stored bytes, multiply-accumulates, or processor time on one thread. */
export const sensitivityCosts = ["bytes", "macs", "time"] as const;
export type SensitivityCost = (typeof sensitivityCosts)[number];

export const sensitivityFormat = 1;

export interface SensitivityRow {
  readonly kind: SensitivityKind;
  /** Layers that change together because their channels are coupled or they are alike. */
  readonly layers: readonly string[];
  /** An amount, bits, or the remaining share of the weights. */
  readonly setting: number;
  readonly drop: Estimate;
  /** Bytes of the weights of these layers. */
  readonly bytes: number;
  /** Saved bytes of all stored values; for unstructured pruning those of new zeros. */
  readonly saved: number;
  /** Saved share of the model's multiply-accumulates; undefined if they cannot be counted. */
  readonly savedMacs?: number | undefined;
  /** Saved share of the model's processor time on this machine; undefined if not measured. */
  readonly savedTime?: number | undefined;
}

export interface Sensitivity {
  readonly format: typeof sensitivityFormat;
  readonly version: string;
  readonly model: string;
  /** Bytes of all stored values. */
  readonly bytes: number;
  readonly metric: Pick<Metric, "name" | "unit" | "better">;
  readonly original: Estimate;
  readonly data: { readonly name: string; readonly count: number | undefined };
  readonly seed: number;
  /** By kind, in graph order, from the mildest setting to the harshest. */
  readonly rows: readonly SensitivityRow[];
  readonly misses: readonly {
    readonly kind: SensitivityKind;
    readonly at: string | undefined;
    readonly reason: string;
  }[];
  /** Number of settings without a measurement because time ran out. */
  readonly open: number;
  readonly seconds: number;
}

interface KindWords {
  readonly title: string;
  /** A setting: "40 %", "4 bits", "rank 50 %". */
  text(setting: number): string;
  /** Whether the largest setting is the harshest. */
  readonly isRising?: boolean;
}

const amount = (share: number): string => percent(share, 0);

export const kindWords: Readonly<Record<SensitivityKind, KindWords>> = {
  prune: { title: "individual weights set to zero", text: amount, isRising: true },
  channels: { title: "channels removed", text: amount, isRising: true },
  bits: { title: "fewer bits", text: (bits) => `${bits} bits` },
  rank: { title: "low rank: share of weights kept", text: (ratio) => `rank ${percent(ratio, 0)}` },
};

export interface SweptLayers {
  readonly name: string;
  readonly rows: readonly (SensitivityRow | undefined)[];
}

export function sweptBy(
  { rows }: Sensitivity,
  kind: SensitivityKind,
): { readonly settings: readonly number[]; readonly layers: readonly SweptLayers[] } {
  const own = rows.filter((row) => row.kind === kind);
  const { isRising = false } = kindWords[kind];
  const settings = [...new Set(own.map(({ setting }) => setting))].toSorted((a, b) => (isRising ? a - b : b - a));
  const layers = [...groupBy(own, (row) => row.layers.join(" + ")).values()].map((of) => ({
    name: togetherName(of[0].layers),
    rows: settings.map((setting) => of.find((row) => row.setting === setting)),
  }));
  return { settings, layers: layers.toSorted((a, b) => meanDrop(b) - meanDrop(a)) };
}

function togetherName(layers: readonly string[]): string {
  return layers.length < 3 ? layers.join(" + ") : `${layers[0]} and ${layers.length - 1} more`;
}

function meanDrop({ rows }: SweptLayers): number {
  // NaN outputs are a total loss.
  const drops = rows.flatMap((row) =>
    row === undefined ? [] : Number.isNaN(row.drop.value) ? Infinity : row.drop.value,
  );
  return drops.reduce((sum, drop) => sum + drop, 0) / drops.length;
}

/** "1 row has equal drops …" if neighboring settings gave the same model. */
export function equalSettingsText({ layers }: Pick<ReturnType<typeof sweptBy>, "layers">): string | undefined {
  const isEqual = (row: SensitivityRow | undefined, before: SensitivityRow | undefined): boolean =>
    row?.kind === "channels" && row.saved === before?.saved && row.drop.value === before.drop.value;
  const count = layers.filter(({ rows }) => rows.some((row, at) => isEqual(row, rows[at - 1]))).length;
  if (count === 0) return undefined;
  return `${counted(count, "row")} ${count === 1 ? "has" : "have"} equal drops at neighboring settings: channels are removed in blocks, so both settings remove the same ones.`;
}

/** 6.4: the drop, in points for a share. */
export function dropText(unit: Metric["unit"], value: number): string {
  return Number.isNaN(value) ? "broken" : change(unit, value).replace("+", "");
}

/** Relative precision of large drops. */
export const relativeResolution = 1 / 4;

/** Absolute precision of drops: the default maximum drop of commands. */
export function resolutionOf({ metric, original }: Pick<Sensitivity, "metric" | "original">): number {
  return usualDrop(metric, original.value);
}

export function isResolved({ value, low, high }: Estimate, resolution: number): boolean {
  return (high - low) / 2 <= Math.max(resolution, relativeResolution * Math.abs(value));
}

/** "45 of 60 drops are known only to ±3.7 points: …" if samples ran out. Intervals shrink with the root of the number of samples. */
export function unresolvedText(found: Sensitivity): string | undefined {
  const resolution = resolutionOf(found);
  const open = found.rows.filter(({ drop }) => Number.isFinite(drop.value) && !isResolved(drop, resolution));
  if (open.length === 0) return undefined;
  const widths = open.map(({ drop: { low, high } }) => (high - low) / 2).toSorted((a, b) => a - b);
  const width = widths[Math.floor(widths.length / 2)] ?? Number.NaN;
  const { unit } = found.metric;
  const measured = `${integer(open.length)} of ${counted(found.rows.length, "drop")}`;
  if (!Number.isFinite(width)) return `${measured} cannot be told from chance: there are too few test samples.`;
  const count = Math.max(...open.map(({ drop }) => drop.count));
  const enough = Math.ceil((count * (width / resolution) ** 2) / 100) * 100;
  return `${measured} are known only to ±${allowance(unit, width)} on ${counted(count, "test sample")}, so smaller drops do not show, and recipes may choose the wrong layers. About ${integer(enough)} samples tell ±${allowance(unit, resolution)}.`;
}

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

/** "conv1 is the most sensitive layer": the one with the largest drop for most techniques. */
export function headline(found: Sensitivity): string {
  if (found.rows.length === 0) return "No layer was measured";
  const lost = found.rows.filter(({ drop }) => Number.isNaN(drop.value) || drop.low > 0);
  const firsts = sensitivityKinds.flatMap((kind) => sweptBy({ ...found, rows: lost }, kind).layers[0]?.name ?? []);
  const [most] = [...groupBy(firsts, (name) => name).values()].toSorted((a, b) => b.length - a.length);
  if (most === undefined) return "No layer lost a statistically significant amount";
  const isOne = lost.some(({ layers }) => layers.length === 1 && layers[0] === most[0]);
  return `${most[0]} ${isOne ? "is the most sensitive layer" : "are the most sensitive layers"}`;
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
