/** Builds the table of a search's candidates in the report. */
import { bytes, change, changeInterval, counted, duration, times } from "#ir";
import type { Run, SearchedPoint, SearchRecord } from "../../judge/record/run-record.ts";
import { html, type Markup } from "./markup.ts";
import { changeTitle, numberCell, numberHead, textHead, wideTable } from "./tables.ts";

/** Returns whether candidates are compared by their size after brotli. */
export const isByDownload = (search: SearchRecord | undefined): boolean =>
  search?.points.some(({ brotli }) => brotli !== undefined) ?? false;

export interface Sizes {
  readonly bytes: number;
  readonly brotli?: number | undefined;
}

export const comparedSizeOf = (search: SearchRecord | undefined): ((sizes: Sizes) => number) =>
  isByDownload(search) ? ({ bytes, brotli = bytes }) => brotli : ({ bytes }) => bytes;

export function searchSection({ search, goal, metric: { unit, better } }: Run): Markup | undefined {
  if (search === undefined) return undefined;
  const sign = better === "higher" ? -1 : 1;
  const sizeOf = comparedSizeOf(search);
  const statusOf = ({ rejected, drop, isOnFront, samples = search.samples }: SearchedPoint): string => {
    if (rejected !== undefined) return rejected;
    const samplesText = samples < search.samples ? ` on the first ${counted(samples, "sample")}` : "";
    if (goal !== undefined && drop !== undefined && drop > goal.maxDrop) return `misses the goal${samplesText}`;
    return isOnFront ? "on the Pareto front" : "";
  };
  const titles = [isByDownload(search) ? "brotli" : "bytes", changeTitle(unit), "speed (rough)", "time"];
  const row = (point: SearchedPoint, index: number): Markup => {
    const { name, bytes: fileBytes, brotli, speed, drop, interval, seconds, isOnFront, recipe } = point;
    const [a = Number.NaN, b = Number.NaN] = [interval?.low, interval?.high].map((bound) => sign * (bound ?? 0));
    const intervalText = interval && changeInterval(unit, { low: Math.min(a, b), high: Math.max(a, b) });
    const bytesText = fileBytes === undefined ? undefined : bytes(sizeOf({ bytes: fileBytes, brotli }));
    const changeText = drop === undefined ? undefined : change(unit, sign * drop);
    const texts = [bytesText, changeText, speed === undefined ? undefined : times(speed), duration(1000 * seconds)];
    return html`<tr id="${rowId(index)}" class="${isOnFront ? "tried" : "rejected"}"><td class="text"><details><summary>${name}</summary><pre>${recipe}</pre></details><small>${statusOf(point)}</small></td>
${texts.map((text, column) => numberCell(text, column === 1 ? intervalText : undefined, titles[column]))}</tr>`;
  };
  const disjointText =
    search.apart && search.isInterim !== true ? ", which are not among those of the candidates above" : "";
  return html`<h2>Candidates</h2>
<p class="note">Measured on ${String(search.samples)} samples${disjointText}. For accuracy, the change is an estimate that also uses the predictions that changed. Each name opens its recipe.</p>
${wideTable([textHead("candidate"), titles.map(numberHead)], search.points.map(row))}`;
}

export const rowId = (index: number): string => `searched-${index}`;
