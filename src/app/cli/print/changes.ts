/** Formats the changes and the skipped layers of a pass. */
import { bytes as bytesText, counted, groupBy, integer, joinList } from "#ir";
import { type Change, changeText } from "#pass";
import {
  describePreciseLayer,
  formatSettings,
  type PrecisionFallback,
} from "../../../judge/fallback/precise-layers.ts";
import { mergeRows } from "./table.ts";

type Paint = (text: string) => string;

const maxShown = 5;

export function formatChanged(changes: readonly Change[], dim: Paint): string[] {
  // A layer in several branches has a change for each of them.
  const lines = new Map(changes.map((change) => [`${change.at}: ${changeText(change)}`, change]));
  return listGroups(
    `changed (${integer(lines.size)})`,
    Array.from(lines.values(), (change) => ({ at: change.at, text: changeText(change) })),
    dim,
  );
}

/** Maximum number of equal changes with separate rows, and maximum number of rows. */
const [maxEqual, maxPlanned] = [8, 40];

/** Returns planned changes in network order, and the number of omitted rows. */
export function plannedRows(changes: readonly Change[]): { readonly rows: string[][]; readonly omittedCount: number } {
  const changeRows = changes.map(({ at, what, decidedBy }) => ({
    name: at,
    cells: [what, decidedBy === "global" ? "" : decidedBy],
  }));
  const mergedRows = changeRows.length > maxEqual ? mergeRows(changeRows) : changeRows;
  const groups = groupBy(mergedRows, ({ cells }) => cells.join());
  const rows = mergedRows.flatMap((row) => {
    const group = groups.get(row.cells.join()) ?? [row];
    if (group.length <= maxEqual) return [[row.name, ...row.cells]];
    return row === group[0] ? [[joinList(group.map(({ name }) => name)), ...row.cells]] : [];
  });
  return { rows: rows.slice(0, maxPlanned), omittedCount: Math.max(0, rows.length - maxPlanned) };
}

export function formatUnchanged(
  misses: readonly { readonly at: string | undefined; readonly reason: string; readonly by?: string | undefined }[],
  dim: Paint,
): string[] {
  const lines = misses.map(({ at, reason, by }) => ({ at, text: reason, by }));
  return listGroups(`unchanged (${integer(misses.length)})`, lines, dim);
}

export function formatPreciseLayers({ settings, preciseLayers, attempts }: PrecisionFallback, dim: Paint): string[] {
  if (settings !== undefined)
    return [`${formatSettings(settings)} to meet the goal, found in ${counted(attempts.length, "attempt")}`];
  const sortedLayers = preciseLayers.toSorted((a, b) => (b.share ?? 0) - (a.share ?? 0) || b.bytes - a.bytes);
  const lines = sortedLayers.map((layer) => ({ at: layer.layer, text: describePreciseLayer(layer) }));
  const bytes = preciseLayers.reduce((sum, layer) => sum + layer.bytes, 0);
  const title = `kept at higher precision to meet the goal (${counted(preciseLayers.length, "layer")}, +${bytesText(bytes)}, ${counted(attempts.length, "attempt")})`;
  return listGroups(title, lines, dim);
}

function listGroups(
  title: string,
  lines: readonly { readonly at: string | undefined; readonly text: string; readonly by?: string | undefined }[],
  dim: Paint,
): string[] {
  if (lines.length === 0) return [];
  const allGroups = [...groupBy(lines, ({ text }) => text)];
  const groups = allGroups.length > maxShown ? allGroups.toSorted(([, a], [, b]) => b.length - a.length) : allGroups;
  const shownLines = groups.slice(0, maxShown).map(([text, group]) => {
    const places = group.flatMap(({ at }) => at ?? []);
    const deciders = [...new Set(group.flatMap((line) => line.by ?? []))];
    return `  ${places.length === 0 ? "" : `${joinList(places)}: `}${text}${deciders.length === 0 ? "" : ` (${joinList(deciders)})`}`;
  });
  const hiddenCounts = groups.slice(maxShown).map(([, group]) => group.filter(({ at }) => at !== undefined).length);
  const hiddenPlaces = hiddenCounts.reduce((sum, places) => sum + Math.max(1, places), 0);
  return [`${title}:`, ...shownLines, ...(hiddenPlaces > 0 ? [`  ${dim(moreText(hiddenPlaces))}`] : [])];
}

export const moreText = (count: number): string => `and ${integer(count)} more (--json has all)`;
