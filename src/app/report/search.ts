/** The table of a search's candidates, which points of the chart link to. */
import { bytes, change, changeInterval, counted, duration, times, unitOfChange } from "../../core/numbers.ts";
import type { Run, SearchedPoint, SearchRecord } from "../../judge/record/data.ts";
import { html, type Markup } from "./markup.ts";

/** Whether candidates are compared by their size after brotli. */
export const isByDownload = (search: SearchRecord | undefined): boolean =>
  search?.points.some(({ brotli }) => brotli !== undefined) ?? false;

export interface Sizes {
  readonly bytes: number;
  readonly brotli?: number | undefined;
}

/** Returns the size by which the candidates are compared. */
export const comparedSize = (search: SearchRecord | undefined): ((sizes: Sizes) => number) =>
  isByDownload(search) ? ({ bytes, brotli = bytes }) => brotli : ({ bytes }) => bytes;

export function searchSection({ search, goal, metric: { unit, better } }: Run): Markup | undefined {
  if (search === undefined) return undefined;
  const sign = better === "higher" ? -1 : 1;
  const sizeOf = comparedSize(search);
  const row = (point: SearchedPoint, at: number): Markup => {
    const {
      name,
      bytes: raw,
      brotli,
      speed,
      drop,
      interval,
      refused,
      seconds,
      isOnFront,
      recipe,
      samples = search.samples,
    } = point;
    const few = samples < search.samples ? ` on the first ${counted(samples, "sample")}` : "";
    const missed =
      goal !== undefined && drop !== undefined && drop > goal.maxDrop ? `misses the goal${few}` : undefined;
    const lost =
      drop === undefined
        ? html`<td class="n">–</td>`
        : html`<td class="n">${change(unit, sign * drop)}<small>${interval !== undefined && changeInterval(unit, inOrder(sign * interval.low, sign * interval.high))}</small></td>`;
    return html`<tr id="${rowId(at)}" class="${isOnFront ? "tried" : "refused"}"><td class="text"><details><summary>${name}</summary><pre>${recipe}</pre></details><small>${refused ?? missed ?? (isOnFront ? "on the Pareto front" : "")}</small></td>
<td class="n">${raw === undefined ? "–" : bytes(sizeOf({ bytes: raw, brotli }))}</td>${lost}<td class="n">${speed === undefined ? "–" : times(speed)}</td><td class="n">${duration(1000 * seconds)}</td></tr>`;
  };
  const lost = ["change", unitOfChange(unit)].filter((text) => text !== "").join(", ");
  return html`<h2>Candidates</h2>
<p class="note">Measured on ${String(search.samples)} samples${search.apart && search.isInterim !== true ? ", which are not among those of the variants above" : ""}. For accuracy, the change is an estimate that also uses the predictions that changed. Each name opens its recipe.</p>
<div class="wide"><table><thead><tr><th>candidate</th><th class="n">${isByDownload(search) ? "brotli" : "bytes"}</th><th class="n">${lost}</th><th class="n">speed (rough)</th><th class="n">time</th></tr></thead>
<tbody>${search.points.map(row)}</tbody></table></div>`;
}

export const rowId = (at: number): string => `searched-${at}`;

const inOrder = (a: number, b: number) => ({ low: Math.min(a, b), high: Math.max(a, b) });
