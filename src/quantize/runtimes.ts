/** The runtimes that results are for, and what was measured of their kernels: ONNX Runtime 1.30, native on x64 with VNNI. */
import * as v from "valibot";
import { Miss } from "../errors.ts";
import { type TargetName, targetNames } from "../evaluate/run-target.ts";
import { described } from "../passes/options.ts";
import type { WeightedRule } from "./target.ts";

/** `target`, as commands and passes declare it. */
export const targetOption = (text: string) =>
  described(v.pipe(v.array(v.picklist(targetNames)), v.nonEmpty()), text, {
    meanings: {
      title: "Targets (--target)",
      rows: [
        ["node", "the native runtime"],
        ["wasm", "WebAssembly in Chromium; in Node where there is none"],
        ["webgpu", "WebGPU in Chromium"],
      ],
    },
  });

/**
 * The type of weights with which the integer form is fast. Where outputs have places beside channels (3 × 3 convolutions of 16 to 128 channels were
 * measured), int8 takes four to five times as long as uint8.
 */
export const fastWeight = ({ channelDims }: WeightedRule): "int8" | "uint8" =>
  channelDims(1).length > 1 ? "uint8" : "int8";

/**
 * Runtimes that cannot run a form of numbers in any version (1.24.3 to 1.30, measured in Chromium), and why. A format that one of them lacks says so
 * itself. What some versions can run is written, and tried in the one that is installed; `docs/targets.md` has the table.
 */
export type Lacks = Readonly<Partial<Record<TargetName, string>>>;

export const bfloat16: Lacks = { webgpu: "not for WebGPU in onnxruntime-web 1.30, which has no Cast of bfloat16" };

/** Why one of the runtimes that a result is for cannot run it; undefined where all can. */
export function lackOf(
  lacks: Lacks,
  { target = [] }: { readonly target?: readonly TargetName[] | undefined },
): Miss | undefined {
  const reason = target.flatMap((name) => lacks[name] ?? [])[0];
  return reason === undefined ? undefined : new Miss(reason);
}
