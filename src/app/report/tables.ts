/** Tables of the report: cells, and the variants of a run with their figures. */
import {
  bytes,
  changeInterval,
  count,
  figureInterval,
  figureText,
  percent,
  sparsityMatters,
  speedText,
  times,
  unitOfChange,
} from "#ir";
import { type Goal, isWithin, type Verdict } from "../../judge/compare/goal.ts";
import type { Run, Variant } from "../../judge/record/run-record.ts";
import {
  changeTextsOf,
  comparesWithOriginal,
  formatChange,
  markOf,
  notChosenText,
  steadyTimingOf,
} from "../../judge/record/verdict.ts";
import { type Content, html, keepTermsWhole, type Markup } from "./markup.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Returns a table. It scrolls sideways if it is wider than the page. */
export function wideTable(heads: Content, rows: Content): Markup {
  return html`<div class="wide"><table>
<thead><tr>${heads}</tr></thead>
<tbody>
${rows}
</tbody></table></div>`;
}

export const textHead = (title: string): Markup => html`<th>${title}</th>`;
export const numberHead = (title: string): Markup => html`<th class="n">${title}</th>`;

/** Returns a table cell with a number; an undefined text becomes a dash. @param note smaller text below it. @param label title of the column, shown in the cell on a narrow page. */
export function numberCell(text: Content, note?: Content, label?: string): Markup {
  return html`<td class="n"${label !== undefined && html` data-label="${label}"`}>${text ?? "–"}${note !== undefined && html`<small>${typeof note === "string" ? keepTermsWhole(note) : note}</small>`}</td>`;
}

/** Returns the title of a column of changes, such as "change, points". */
export const changeTitle = (unit: Run["metric"]["unit"]): string =>
  ["change", unitOfChange(unit)].filter((text) => text !== "").join(", ");

interface VariantCell {
  readonly text: string;
  /** Ratio or interval, shown below the text. */
  readonly note?: string | undefined;
}

export interface VariantColumn {
  readonly title: string;
  /** Cell of the original, then one per variant. */
  readonly cells: readonly (VariantCell | undefined)[];
}

/** Returns the columns of numbers in the table of variants, without empty columns. */
export function variantColumns(run: Run): readonly VariantColumn[] {
  const { original, variants, metric } = run;
  const { unit } = metric;
  const speeds = steadyTimingOf(run)?.models;
  const models = [original, ...variants.map(({ result }) => result)];
  const hasZerosColumn = variants.some(({ result }) => sparsityMatters(result?.zeros, original.zeros));
  const amountColumn = (key: "bytes" | "gzip" | "brotli" | "macs", text: (value: number) => string): VariantColumn => ({
    title: key === "macs" ? "MACs" : key,
    cells: models.map((model) => {
      const value = model?.[key];
      return value === undefined ? undefined : { text: text(value), note: ratioOf(original[key], value) };
    }),
  });
  const texts = variants.map(({ comparison }) => comparison && changeTextsOf(comparison));
  const [longest] = texts.flatMap((text) => text?.before ?? []).toSorted((a, b) => b.length - a.length);
  const columns: readonly VariantColumn[] = [
    ...(["bytes", "gzip", "brotli"] as const).map((key) => amountColumn(key, bytes)),
    amountColumn("macs", count),
    {
      title: "zeros",
      cells: models.map((model) =>
        hasZerosColumn && model?.zeros !== undefined ? { text: percent(model.zeros) } : undefined,
      ),
    },
    {
      title: metric.name,
      cells: models.map((model, index) => {
        if (model === undefined) return undefined;
        const isExact = model === original && comparesWithOriginal(run);
        const { estimate } = model;
        const text = index === 0 ? longest : texts[index - 1]?.after;
        return {
          text: text ?? figureText(unit, estimate.value),
          note: isExact ? undefined : figureInterval(unit, estimate),
        };
      }),
    },
    {
      title: changeTitle(unit),
      cells: [
        undefined,
        ...variants.map(
          ({ comparison }) =>
            comparison && {
              text: formatChange(comparison).split(" ")[0] ?? "",
              note: changeInterval(unit, comparison.difference),
            },
        ),
      ],
    },
    {
      title: "speed",
      cells: models.map((_, index) => {
        const speed = speeds?.[index]?.speedup;
        if (speed === undefined) return undefined;
        const [text = "", note] = speedText(speed, "").split(/ \(|\)/);
        return index === 0 ? { text: times(1) } : { text, note };
      }),
    },
  ];
  return columns.filter(({ cells }) => cells.some((cell) => cell !== undefined));
}

export function variantsTable(run: Run): Markup {
  const { original, variants, chosen, goal } = run;
  const columns = variantColumns(run);
  const cellsOf = (row: number): Content =>
    columns.map(({ title, cells }) => numberCell(cells[row]?.text, cells[row]?.note, title));
  const rows = variants.map((variant, index) => {
    const isChosen = chosen === index;
    const kind = isChosen ? "chosen" : variant.rejected === undefined ? "tried" : "rejected";
    return html`<tr class="${kind}">
<td class="key">${markOf(variant, goal)}</td><td class="text">${variant.name}<small>${statusOf(variant, isChosen, goal)}</small></td>
${cellsOf(index + 1)}</tr>`;
  });
  return wideTable(
    [html`<td></td>`, textHead("candidate"), columns.map(({ title }) => numberHead(title))],
    html`<tr class="original"><td class="key"></td><td class="text">original<small class="name">${original.name}</small></td>${cellsOf(0)}</tr>
${rows}`,
  );
}

function statusOf(variant: Variant, isChosen: boolean, goal: Goal | undefined): string {
  const { rejected, verdict } = variant;
  if (rejected !== undefined) return rejected;
  const goalText = verdict === undefined || goal === undefined ? "" : goalStatus(verdict, goal);
  const notChosenReason = isChosen ? undefined : notChosenText(variant, goal);
  const fileText = variant.file === undefined ? "" : `written as ${variant.file}`;
  return [isChosen ? "kept as the result" : fileText, goalText, notChosenReason ?? ""]
    .filter((part) => part !== "")
    .join("; ");
}

function goalStatus({ verdict, met, drop }: Verdict, goal: Goal): string {
  if (verdict !== "undecided") return `goal ${verdict === "kept" ? "met" : "missed"}`;
  if (isWithin(drop, goal))
    return met ? "goal met by the estimate" : "goal met by the estimate alone, so rejected (--strict)";
  return met ? "goal missed by the estimate, which is not statistically significant" : "goal missed by the estimate";
}

function ratioOf(before: number | undefined, after: number): string | undefined {
  return before === undefined || after === 0 || before === after ? undefined : times(before / after);
}
