/** Tables of the pages. */

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

/** Returns a table that scrolls sideways if the page is narrow. */
export function wideTable(heads: Content, rows: Content): Markup {
  return html`<div class="wide"><table>
<thead><tr>${heads}</tr></thead>
<tbody>
${rows}
</tbody></table></div>`;
}

export const textHead = (title: string): Markup => html`<th>${title}</th>`;
export const numberHead = (title: string): Markup => html`<th class="n">${title}</th>`;

/** @param note smaller text below; an undefined text is a dash. */
export function numberCell(text: Content, note?: Content): Markup {
  return html`<td class="n">${text ?? "–"}${note !== undefined && html`<small>${note}</small>`}</td>`;
}

/** Title of a column of changes: "change, points". */
export const changeTitle = (unit: Run["metric"]["unit"]): string =>
  ["change", unitOfChange(unit)].filter((text) => text !== "").join(", ");

export function variantsTable(run: Run): Markup {
  const { original, variants, chosen, goal, metric } = run;
  const { unit } = metric;
  const speeds = timesOf(run)?.models ?? [];
  const all = [original, ...variants.map(({ result }) => result)];
  const hasExactOriginal = comparesWithOriginal(run);
  const withZeros = variants.some(({ result }) => sparsityMatters(result?.zeros, original.zeros));
  const sizes = (["bytes", "gzip", "brotli", "macs"] as const).filter((key) =>
    all.some((measured) => measured?.[key] !== undefined),
  );
  const sizeCell = (measured: Measured | undefined, key: (typeof sizes)[number]): Markup => {
    const [before, size] = [original[key], measured?.[key]];
    if (size === undefined) return numberCell(undefined);
    return numberCell(key === "macs" ? count(size) : bytes(size), ratioOf(before, size));
  };
  const measuredCells = (measured: Measured | undefined): Content => {
    const { zeros, estimate } = measured ?? {};
    const interval = measured === original && hasExactOriginal ? undefined : estimate;
    return [
      sizes.map((key) => sizeCell(measured, key)),
      withZeros && numberCell(zeros === undefined ? undefined : percent(zeros)),
      numberCell(estimate && figure(unit, estimate.value), interval && figureInterval(unit, interval)),
    ];
  };
  const speedCell = (index: number): Content => {
    const median = index === 0 ? 1 : speeds[index]?.speedup.median;
    return speeds.length > 0 && numberCell(median === undefined ? undefined : times(median));
  };
  const rows = variants.map((variant, index) => {
    const { name, result, comparison, refused } = variant;
    const isChosen = chosen === index;
    const difference = comparison?.difference;
    return html`<tr class="${isChosen ? "chosen" : refused === undefined ? "tried" : "refused"}">
<td class="key">${markOf(variant, goal)}</td><td class="text">${name}<small>${statusOf(variant, isChosen, goal)}</small></td>
${measuredCells(result)}${numberCell(difference && change(unit, difference.value), difference && changeInterval(unit, difference))}${speedCell(index + 1)}</tr>`;
  });
  const titles = [
    ...sizes.map((key) => (key === "macs" ? "MACs" : key)),
    ...(withZeros ? ["zeros"] : []),
    ...[metric.name, changeTitle(unit)],
    ...(speeds.length > 0 ? ["speed"] : []),
  ];
  return wideTable(
    [textHead(""), textHead("variant"), titles.map(numberHead)],
    html`<tr class="original"><td class="key"></td><td class="text">original<small class="name">${original.name}</small></td>${measuredCells(original)}${numberCell(undefined)}${speedCell(0)}</tr>
${rows}`,
  );
}

function statusOf(variant: Variant, isChosen: boolean, goal: Goal | undefined): string {
  const { refused, verdict } = variant;
  if (refused !== undefined) return refused;
  const standing = verdict === undefined || goal === undefined ? "" : goalStatus(verdict, goal);
  const passed = isChosen ? undefined : passedOver(variant, goal);
  const where = variant.file === undefined ? "" : `written as ${variant.file}`;
  return [isChosen ? "kept as the result" : where, standing, passed ?? ""].filter((part) => part !== "").join("; ");
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
