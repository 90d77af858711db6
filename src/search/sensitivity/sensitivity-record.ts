/** The result of `pith sensitivity` as JSON data (`sensitivity.json`), and sentences about it. */
import { allowance, change, counted, type Estimate, groupBy, integer, percent } from "#ir";
import { defaultDrop } from "../../judge/compare/goal.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { worstFirst } from "../../runtime/run/difference.ts";

export const sensitivityKinds = ["prune", "channels", "bits", "rank"] as const;
/** Technique: unstructured pruning ("prune"), removal of channels, quantization of weights ("bits"), or factorization ("rank"). */
export type SensitivityKind = (typeof sensitivityKinds)[number];

/** Quantities that the budget of a recipe can limit: stored bytes, or multiply-accumulates. */
export const sensitivityCosts = ["bytes", "macs"] as const;
export type SensitivityCost = (typeof sensitivityCosts)[number];

export const sensitivityFormatVersion = 1;

export interface SensitivityRow {
  readonly kind: SensitivityKind;
  /** Layers that change together: their channels are coupled, or with `alike`, their names differ only in numbers. */
  readonly layers: readonly string[];
  /** Pruned share, bits per weight, or remaining share of the weights, depending on the kind. */
  readonly setting: number;
  readonly drop: Estimate;
  /** Number of bytes of these layers' weights. */
  readonly bytes: number;
  /** Saved bytes of the model's stored values. For unstructured pruning, bytes of the weights that have become zero. */
  readonly saved: number;
  /** Saved share of the model's multiply-accumulates; undefined if they cannot be counted. */
  readonly savedMacs?: number | undefined;
}

/** Numbers that are not finite are null in `sensitivity.json`. */
export interface Sensitivity {
  readonly format: typeof sensitivityFormatVersion;
  readonly version: string;
  readonly model: string;
  /** Number of bytes of all stored values. */
  readonly bytes: number;
  readonly metric: Pick<Metric, "name" | "unit" | "better">;
  readonly original: Estimate;
  readonly data: { readonly name: string; readonly count: number | undefined };
  readonly seed: number;
  /** Rows by kind, then in graph order, then from the mildest setting to the harshest. */
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

const amount = (share: number): string => percent(share, 0);

export const kindWords: Readonly<Record<SensitivityKind, { readonly title: string; text(setting: number): string }>> = {
  prune: { title: "individual weights set to zero", text: (share) => `${amount(share)} zeros` },
  channels: { title: "channels removed", text: amount },
  bits: { title: "fewer bits", text: (bits) => `${bits} bits` },
  rank: {
    title: "two smaller layers (low rank), by the share of weights kept",
    text: (ratio) => `${amount(ratio)} kept`,
  },
};

/** Returns the rows of a kind by layer, the most sensitive first, and the settings, the mildest first. */
export function selectKind({ rows }: Pick<Sensitivity, "rows">, kind: SensitivityKind) {
  const kindRows = rows.filter((row) => row.kind === kind);
  const isRising = kind === "prune" || kind === "channels";
  const settings = [...new Set(kindRows.map(({ setting }) => setting))].toSorted((a, b) => (isRising ? a - b : b - a));
  const groups = groupBy(kindRows, (row) => row.layers.join(" + "));
  const layers = Array.from(groups, ([names, group]) => ({
    name: group[0].layers.length < 3 ? names : `${group[0].layers[0]} and ${group[0].layers.length - 1} more`,
    rows: settings.map((setting) => group.find((row) => row.setting === setting)),
    loss: group.reduce((sum, { drop }) => sum + drop.value, 0) / group.length,
  }));
  // NaN outputs count as a total loss.
  return { settings, layers: worstFirst(layers, ({ loss }) => loss) };
}

/** Returns "−6.4", in points for a share. */
export function sweptChangeText({ unit, better }: Pick<Metric, "unit" | "better">, { value }: Estimate): string {
  return Number.isNaN(value) ? "broken" : change(unit, better === "higher" ? 0 - value : value);
}

const relativeResolution = 1 / 4;

/** @param resolution required precision of small drops: the default maximum drop of commands, in the metric's unit. */
export function isResolved({ value, low, high }: Estimate, resolution: number): boolean {
  return (high - low) / 2 <= Math.max(resolution, relativeResolution * Math.abs(value));
}

/** Returns "45 of 60 drops can be off by ±3.7 points with …". Assumes intervals proportional to 1/√n. */
export function unresolvedText(sensitivity: Sensitivity): string | undefined {
  const resolution = defaultDrop(sensitivity.metric, sensitivity.original.value);
  const unresolvedRows = sensitivity.rows.filter(
    ({ drop }) => Number.isFinite(drop.value) && !isResolved(drop, resolution),
  );
  if (unresolvedRows.length === 0) return undefined;
  const widths = unresolvedRows.map(({ drop: { low, high } }) => (high - low) / 2).toSorted((a, b) => a - b);
  const width = widths[Math.floor(widths.length / 2)] ?? Number.NaN;
  const { unit } = sensitivity.metric;
  const countText = `${integer(unresolvedRows.length)} of ${counted(sensitivity.rows.length, "drop")}`;
  if (!Number.isFinite(width)) return `${countText} cannot be told from chance: there are too few test samples.`;
  const count = Math.max(...unresolvedRows.map(({ drop }) => drop.count));
  const sampleCount = Math.ceil((count * (width / resolution) ** 2) / 100) * 100;
  return `${countText} can be off by ±${allowance(unit, width)} with ${counted(count, "test sample")}, so recipes may protect the wrong layers. About ${integer(sampleCount)} samples reduce this to ±${allowance(unit, resolution)}.`;
}

/** Returns "conv1 is the most sensitive layer". */
export function headline(sensitivity: Sensitivity): string {
  if (sensitivity.rows.length === 0) return "No layer was measured";
  const lossyRows = sensitivity.rows.filter(({ drop }) => Number.isNaN(drop.value) || drop.low > 0);
  const mostSensitive = sensitivityKinds.flatMap((kind) => selectKind({ rows: lossyRows }, kind).layers[0]?.name ?? []);
  const [mostFrequent] = [...groupBy(mostSensitive, (name) => name).values()].toSorted((a, b) => b.length - a.length);
  if (mostFrequent === undefined) return "No layer lost a statistically significant amount";
  const isOne = lossyRows.some(({ layers }) => layers.length === 1 && layers[0] === mostFrequent[0]);
  return `${mostFrequent[0]} ${isOne ? "is the most sensitive layer" : "are the most sensitive layers"}`;
}
