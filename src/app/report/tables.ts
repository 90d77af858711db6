import {
  bytes,
  change,
  changeInterval,
  count,
  figure,
  figureInterval,
  percent,
  sparsityMatters,
  times,
  unitOfChange,
} from "../../core/numbers.ts";
import { type Goal, isWithin, type Verdict } from "../../judge/compare/compare.ts";
import type { Measured, Run, Variant } from "../../judge/record/data.ts";
import { comparesWithOriginal, markOf, passedOver, timesOf } from "../../judge/record/verdict.ts";
import { type Content, html, type Markup } from "./markup.ts";

export function variantsTable(run: Run): Markup {
  const { name, unit } = run.metric;
  const speeds = timesOf(run)?.models ?? [];
  const exact = comparesWithOriginal(run);
  const all = [run.original, ...run.variants.map(({ result }) => result)];
  const compressed = (["gzip", "brotli"] as const).filter((name) => all.some((one) => one?.[name] !== undefined));
  const withMacs = all.some((one) => one?.macs !== undefined);
  const withZeros = run.variants.some(({ result }) => sparsityMatters(result?.zeros, run.original.zeros));
  const head = (title: string): Markup => html`<th class="n">${title}</th>`;
  const measured = (one: Measured): Content => [
    html`<td class="n">${bytes(one.bytes)}<small>${ratioOf(run.original.bytes, one.bytes)}</small></td>`,
    ...compressed.map((name) => {
      const size = one[name];
      return html`<td class="n">${size === undefined ? "–" : bytes(size)}<small>${ratioOf(run.original[name], size)}</small></td>`;
    }),
    withZeros && html`<td class="n">${one.zeros === undefined ? "–" : percent(one.zeros)}</td>`,
    withMacs &&
      html`<td class="n">${one.macs === undefined ? "–" : count(one.macs)}<small>${ratioOf(run.original.macs, one.macs)}</small></td>`,
    html`<td class="n">${figure(unit, one.estimate.value)}<small>${!(exact && one === run.original) && figureInterval(unit, one.estimate)}</small></td>`,
  ];
  const speed = (index: number): Markup => {
    const one = speeds[index]?.speedup;
    if (one === undefined) return html`<td class="n">–</td>`;
    return html`<td class="n">${times(index === 0 ? 1 : one.median)}</td>`;
  };
  const rows = run.variants.map((variant, index) => {
    const chosen = run.chosen === index;
    const { result, comparison } = variant;
    const columns = 2 + compressed.length + Number(withZeros) + Number(withMacs);
    return html`<tr class="${chosen ? "chosen" : variant.refused === undefined ? "tried" : "refused"}">
<td class="key">${markOf(variant, run.goal)}</td><td class="text">${variant.name}<small>${statusOf(variant, chosen, run.goal)}</small></td>
${result === undefined ? Array.from({ length: columns }, () => html`<td class="n">–</td>`) : measured(result)}
<td class="n">${comparison === undefined ? "–" : html`${change(unit, comparison.difference.value)}<small>${changeInterval(unit, comparison.difference)}</small>`}</td>
${speeds.length > 0 && speed(index + 1)}</tr>`;
  });
  return html`<div class="wide"><table>
<thead><tr><th></th><th>variant</th>${head("bytes")}${compressed.map(head)}${withZeros && head("zeros")}${withMacs && head("MACs")}${head(name)}${head(["change", unitOfChange(unit)].filter((text) => text !== "").join(", "))}${speeds.length > 0 && head("speed")}</tr></thead>
<tbody>
<tr class="original"><td class="key"></td><td class="text">original<small class="name">${run.original.name}</small></td>${measured(run.original)}<td class="n">–</td>${speeds.length > 0 && speed(0)}</tr>
${rows}
</tbody></table></div>`;
}

function statusOf(variant: Variant, chosen: boolean, goal: Goal | undefined): string {
  const { refused, verdict } = variant;
  if (refused !== undefined) return refused;
  const standing = verdict === undefined || goal === undefined ? "" : goalStatus(verdict, goal);
  const passed = chosen ? undefined : passedOver(variant, goal);
  const where = variant.file === undefined ? "" : `written as ${variant.file}`;
  return [chosen ? "kept as the result" : where, standing, passed ?? ""].filter((part) => part !== "").join("; ");
}

function goalStatus({ verdict, met, drop }: Verdict, goal: Goal): string {
  if (verdict !== "not shown") return `goal ${verdict === "kept" ? "met" : "missed"}`;
  if (isWithin(drop, goal))
    return met ? "goal met by the estimate" : "goal met by the estimate alone, so refused (--strict)";
  return met ? "goal missed by the estimate, which is not statistically significant" : "goal missed by the estimate";
}

function ratioOf(before: number | undefined, after: number | undefined): string {
  return before === undefined || after === undefined || after === 0 || before === after ? "" : times(before / after);
}
