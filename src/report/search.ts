/** The table of a search's candidates, which points of the chart link to. */
import { bytes, change, changeInterval, counted, duration, times, unitOfChange } from "../evaluate/numbers.ts";
import type { Run, SearchedPoint } from "./data.ts";
import { html, type Markup } from "./markup.ts";

export function searchSection({ search, goal, metric: { unit, better } }: Run): Markup | undefined {
  if (search === undefined) return undefined;
  const sign = better === "higher" ? -1 : 1;
  const row = (point: SearchedPoint, at: number): Markup => {
    const {
      name,
      bytes: size,
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
<td class="n">${size === undefined ? "–" : bytes(size)}</td>${lost}<td class="n">${speed === undefined ? "–" : times(speed)}</td><td class="n">${duration(1000 * seconds)}</td></tr>`;
  };
  const lost = ["change", unitOfChange(unit)].filter((text) => text !== "").join(", ");
  return html`<h2>Candidates</h2>
<p class="note">Measured on ${String(search.samples)} samples${search.apart && search.isInterim !== true ? ", which are not among those of the variants above" : ""}. For accuracy, the change is an estimate that also uses the predictions that changed. Each name opens its recipe.</p>
<div class="wide"><table><thead><tr><th>candidate</th><th class="n">bytes</th><th class="n">${lost}</th><th class="n">speed (rough)</th><th class="n">time</th></tr></thead>
<tbody>${search.points.map(row)}</tbody></table></div>`;
}

export const rowId = (at: number): string => `searched-${at}`;

const inOrder = (a: number, b: number) => ({ low: Math.min(a, b), high: Math.max(a, b) });
