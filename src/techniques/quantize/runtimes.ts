/** The target runtimes, and choices that follow from measurements of their kernels (ONNX Runtime 1.30, native on x64 with VNNI). */
import * as v from "valibot";
import { Miss } from "#ir";
import { withHelp } from "#pass";
import { type TargetName, targetNames } from "../../runtime/run/run-target.ts";
import type { WeightedRule } from "./quantizable.ts";

export const targetOption = (text: string) =>
  withHelp(v.pipe(v.array(v.picklist(targetNames)), v.nonEmpty()), text, {
    common: true,
    meanings: {
      title: "Targets (--target)",
      rows: [
        ["node", "the native runtime"],
        ["wasm", "WebAssembly in Chromium, or in Node without Chromium"],
        ["webgpu", "WebGPU in Chromium"],
      ],
    },
  });

/** Returns the faster weight type: with spatial dimensions, int8 is slower. */
export const fastWeight = ({ channelDims }: WeightedRule): "int8" | "uint8" =>
  channelDims(1).length > 1 ? "uint8" : "int8";

/** Runtimes that cannot run a format, with the reason. */
export type Lacks = Readonly<Partial<Record<TargetName, string>>>;

export const bfloat16Lacks: Lacks = { webgpu: "not for WebGPU in onnxruntime-web 1.30, which has no Cast of bfloat16" };

export function missingSupportOf(
  lacks: Lacks,
  { target = [] }: { readonly target?: readonly TargetName[] | undefined },
): Miss | undefined {
  const reason = target.flatMap((name) => lacks[name] ?? [])[0];
  return reason === undefined ? undefined : new Miss(reason);
}
