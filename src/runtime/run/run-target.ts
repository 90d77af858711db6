/** A runtime on which results will run. */

import type { Batch, DataType, Model } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import type { LatencyOptions, LatencyReport } from "./latency.ts";

export const targetNames = ["node", "wasm", "webgpu"] as const;
export type TargetName = (typeof targetNames)[number];

/** Returns the targets in the value of an option. */
export const targetsOf = (value: unknown): readonly TargetName[] =>
  [value].flat().filter((name): name is TargetName => targetNames.some((target) => target === name));

export interface RunTarget {
  readonly name: TargetName;
  readonly where: string;
  readonly engine: Engine;
  /** A type that this runtime does not support on this machine's hardware. */
  readonly lacks?: { readonly type: DataType; readonly why: string };
  /** Like `latency`, with the clock of the target. @throws PithError E_UNSUPPORTED if its times would be meaningless. */
  latency(
    models: readonly Model[],
    feeds: readonly Batch[],
    options: Omit<LatencyOptions, "warmUp">,
  ): Promise<LatencyReport>;
}
