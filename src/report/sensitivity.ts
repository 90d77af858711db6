/** What single layers lose, as data; and the page of `pith sensitivity`. */
import type { Estimate, Metric } from "../evaluate/index.ts";
import { percent } from "../evaluate/numbers.ts";

export const sensitivityKinds = ["prune", "channels", "bits", "rank"] as const;
/** Single weights, whole channels, bits of a weight, share of the weights that a chain of thin layers has. */
export type SensitivityKind = (typeof sensitivityKinds)[number];

export const sensitivityFormat = 1;

export interface SensitivityRow {
  readonly kind: SensitivityKind;
  /** They are changed together: the layers whose channels go together, or that are alike. */
  readonly layers: readonly string[];
  /** An amount, bits, or the share of its weights that is left of a layer. */
  readonly setting: number;
  /** How much worse the metric is; with its interval, and the samples that it was measured on. */
  readonly drop: Estimate;
  /** Of the weights of these layers. */
  readonly bytes: number;
  /** Bytes by which all stored numbers are fewer; of single weights those that are zero now. */
  readonly saved: number;
}

export interface Sensitivity {
  readonly format: typeof sensitivityFormat;
  readonly version: string;
  /** Its file's name. */
  readonly model: string;
  /** Of all stored numbers of the model. */
  readonly bytes: number;
  readonly metric: Pick<Metric, "name" | "unit" | "better">;
  /** The original's figure, on the samples of the first look. */
  readonly original: Estimate;
  readonly data: { readonly name: string; readonly count: number | undefined };
  readonly seed: number;
  /** By kind, in the order of the graph, from the mildest setting to the harshest. */
  readonly rows: readonly SensitivityRow[];
  /** What could not be changed, and why. */
  readonly misses: readonly {
    readonly kind: SensitivityKind;
    readonly at: string | undefined;
    readonly reason: string;
  }[];
  /** Settings that were not measured, because the time was over. */
  readonly open: number;
  readonly seconds: number;
}

/** "40 %", "4 bits", "rank 50 %" */
export function settingText(kind: SensitivityKind, setting: number): string {
  if (kind === "bits") return `${setting} bits`;
  return kind === "rank" ? `rank ${percent(setting, 0)}` : percent(setting, 0);
}
