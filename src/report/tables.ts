/** The report's tables: variants, layers. */
import { type Goal, isWithin, type Verdict } from "../evaluate/index.ts";
import {
  bytes,
  change,
  changeInterval,
  count,
  figure,
  figureInterval,
  integer,
  percent,
  range,
  times,
  unitOfChange,
} from "../evaluate/numbers.ts";
import type { LayerFacts, LayerRow, Measured, Run, Variant } from "./data.ts";
import { type Content, html, type Markup } from "./markup.ts";
import { passedOver, timesOf } from "./verdict.ts";

/** Rows of layers in a page; a page must open on a phone. */
const mostLayers = 250;

/** Name, bytes, metric and time of the original and of everything that was tried. */
export function variantsTable(run: Run): Markup {
  const { name, unit } = run.metric;
  const speeds = timesOf(run)?.models ?? [];
  const withBrotli = [run.original, ...run.variants.map(({ result }) => result)].some(
    (one) => one?.brotli !== undefined,
  );
  const withMacs = [run.original, ...run.variants.map(({ result }) => result)].some((one) => one?.macs !== undefined);
  const head = (title: string): Markup => html`<th class="n">${title}</th>`;
  const measured = (one: Measured): Content => [
    html`<td class="n">${bytes(one.bytes)}<small>${ratioOf(run.original.bytes, one.bytes)}</small></td>`,
    withBrotli &&
      html`<td class="n">${one.brotli === undefined ? "–" : bytes(one.brotli)}<small>${ratioOf(run.original.brotli, one.brotli)}</small></td>`,
    withMacs &&
      html`<td class="n">${one.macs === undefined ? "–" : count(one.macs)}<small>${ratioOf(run.original.macs, one.macs)}</small></td>`,
    html`<td class="n">${figure(unit, one.estimate.value)}<small>${figureInterval(unit, one.estimate)}</small></td>`,
  ];
  const speed = (index: number): Markup => {
    const one = speeds[index]?.speedup;
    if (one === undefined) return html`<td class="n">–</td>`;
    // The original is timed against itself.
    if (index === 0) return html`<td class="n">${times(1)}</td>`;
    return html`<td class="n">${times(one.median)}<small>${range(one)}</small></td>`;
  };
  const rows = run.variants.map((variant, index) => {
    const chosen = run.chosen === index;
    const { result, comparison } = variant;
    const columns = 2 + Number(withBrotli) + Number(withMacs);
    return html`<tr class="${chosen ? "chosen" : variant.refused === undefined ? "tried" : "refused"}">
<td class="key">#${index + 1}</td><td class="text">${variant.name}<small>${statusOf(variant, chosen, run.goal)}</small></td>
${result === undefined ? Array.from({ length: columns }, () => html`<td class="n">–</td>`) : measured(result)}
<td class="n">${comparison === undefined ? "–" : html`${change(unit, comparison.difference.value)}<small>${changeInterval(unit, comparison.difference)}</small>`}</td>
${speeds.length > 0 && speed(index + 1)}</tr>`;
  });
  return html`<div class="wide"><table>
<thead><tr><th></th><th>variant</th>${head("bytes")}${withBrotli && head("brotli")}${withMacs && head("MACs")}${head(name)}${head(["change", unitOfChange(unit)].filter((text) => text !== "").join(", "))}${speeds.length > 0 && head("speed")}</tr></thead>
<tbody>
<tr class="original"><td class="key"></td><td class="text">original<small class="name">${run.original.name}</small></td>${measured(run.original)}<td class="n">–</td>${speeds.length > 0 && speed(0)}</tr>
${rows}
</tbody></table></div>`;
}

/** One line for each layer: what it was, what it is, what was done. */
export function layersTable(layers: readonly LayerRow[]): Markup {
  const shown = largest(layers);
  const common = commonest(layers.map(({ done }) => done.join("; ")));
  const number = (value: number | undefined, text: string): Markup =>
    html`<td class="n" data-value="${value === undefined ? "" : String(value)}">${text}</td>`;
  const rows = shown.map(({ name, before, after, done }) => {
    const [was, is] = [before?.bytes ?? 0, after?.bytes ?? 0];
    const share = was === 0 ? 1 : Math.min(1, is / was);
    return html`<tr><td class="text"><span class="name">${name}</span>${done.length > 0 && done.join("; ") !== common && html`<small>${done.join("; ")}</small>`}${done.length === 0 && common !== undefined && html`<small>unchanged</small>`}</td>
<td>${pair(before, after, (facts) => facts.operator)}</td><td><span class="name">${pair(before, after, (facts) => facts.weight)}</span></td>
${number(before?.parameters, before === undefined ? "–" : integer(before.parameters))}
${number(was, before === undefined ? "–" : bytes(was))}<td class="n" data-value="${is}">${after === undefined ? "–" : bytes(is)}<span class="bar"><i style="width:${percentWidth(share)}"></i></span></td>
${number(before?.zeros, zerosText(before))}${number(after?.zeros, zerosText(after))}</tr>`;
  });
  const left = layers.length - shown.length;
  return html`${common !== undefined && html`<p class="note">Applied to every layer without a note of its own: ${common}.</p>`}<div class="wide"><table class="sortable">
<thead><tr><th>layer</th><th>operator</th><th>weight</th><th class="n">parameters</th><th class="n">bytes before</th><th class="n">after</th><th class="n">zeros before</th><th class="n">after</th></tr></thead>
<tbody>
${rows}
</tbody></table></div>
${left > 0 && html`<p class="note">The ${integer(shown.length)} layers with the most bytes; the other ${integer(left)} are in run.json.</p>`}`;
}

function statusOf(variant: Variant, chosen: boolean, goal: Goal | undefined): string {
  const { refused, verdict } = variant;
  if (refused !== undefined) return refused;
  const standing = verdict === undefined || goal === undefined ? "" : goalStatus(verdict, goal);
  const passed = chosen ? undefined : passedOver(variant, goal);
  return [chosen ? "kept as the result" : "", standing, passed ?? ""].filter((part) => part !== "").join("; ");
}

function goalStatus({ verdict, met, drop }: Verdict, goal: Goal): string {
  if (verdict !== "not shown") return `goal ${verdict === "kept" ? "met" : "missed"}`;
  if (isWithin(drop, goal))
    return met ? "goal met by the estimate" : "goal met by the estimate alone, so refused (--strict)";
  return met ? "goal missed by the estimate, which chance may explain" : "goal missed by the estimate";
}

function ratioOf(before: number | undefined, after: number | undefined): string {
  return before === undefined || after === undefined || after === 0 || before === after ? "" : times(before / after);
}

/** The text that most of some share, where it would stand there again and again; undefined where there is none. */
function commonest(texts: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const text of texts) if (text !== "") counts.set(text, (counts.get(text) ?? 0) + 1);
  const [first] = [...counts].toSorted((a, b) => b[1] - a[1]);
  return first !== undefined && first[1] >= 3 && 2 * first[1] > texts.length ? first[0] : undefined;
}

function largest(layers: readonly LayerRow[]): readonly LayerRow[] {
  if (layers.length <= mostLayers) return layers;
  const weight = ({ before, after }: LayerRow): number => before?.bytes ?? after?.bytes ?? 0;
  const kept = new Set(layers.toSorted((a, b) => weight(b) - weight(a)).slice(0, mostLayers));
  return layers.filter((layer) => kept.has(layer));
}

/** "Gemm", or "Gemm → MatMulInteger". */
function pair(
  before: LayerFacts | undefined,
  after: LayerFacts | undefined,
  of: (facts: LayerFacts) => string,
): Content {
  const [was, is] = [before === undefined ? "–" : of(before), after === undefined ? "–" : of(after)];
  return was === is
    ? was
    : html`<span class="whole">${was}</span><span class="arrow"> → </span><span class="whole">${is}</span>`;
}

function zerosText(facts: LayerFacts | undefined): string {
  return facts?.zeros === undefined ? "–" : percent(facts.zeros);
}

function percentWidth(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
