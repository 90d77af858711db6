/** The target runtimes of a quantization, and formats that they cannot run. */
import * as v from "valibot";
import { Miss } from "#ir";
import { withHelp } from "#pass";
import { quirks } from "../../core/quirks.ts";
import { type TargetName, targetNames } from "../../runtime/run/run-target.ts";

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

/** Runtimes that cannot run a format, with the reason. */
export type Lacks = Readonly<Partial<Record<TargetName, string>>>;

export const bfloat16Lacks: Lacks = { webgpu: `not for WebGPU: ONNX Runtime ${quirks["web-bfloat16"]}` };

export function missingSupportOf(
  lacks: Lacks,
  { target = [] }: { readonly target?: readonly TargetName[] | undefined },
): Miss | undefined {
  const reason = target.flatMap((name) => lacks[name] ?? [])[0];
  return reason === undefined ? undefined : new Miss(reason);
}
