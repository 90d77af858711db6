/** Settings and formats of layers that lose less, for the precision fallback, and settings for a download size. */
import type { Change, OptionValues } from "../../core/pass/pass.ts";
import { admitsLowEntropy, areCodes, isLowEntropy, withDtype } from "./options.ts";
import { defaultDistortion, rdoq } from "./rounders/rdoq.ts";

/** Distortions of rate–distortion optimized rounding, a factor of √2 apart: from about 0.5 to 5 bits per weight after brotli. */
export const distortions = Array.from({ length: 21 }, (_, at) => Number((0.32 * 2 ** (-at / 2)).toPrecision(2)));

/** Returns lower distortions. */
export const milderSettings = (options: OptionValues): readonly OptionValues[] =>
  isLowEntropy(options)
    ? distortions.flatMap((distortion) =>
        distortion < Number(options.distortion ?? defaultDistortion) ? { distortion } : [],
      )
    : [];

/** Returns the rounding method whose values brotli shortens, with all distortions; nothing if the options choose other values. */
export const downloadSettings = ({ rounder = rdoq.id, ...options }: OptionValues): readonly OptionValues[] =>
  rounder === rdoq.id && admitsLowEntropy(options) ? distortions.map((distortion) => ({ rounder, distortion })) : [];

/** Returns the higher-precision formats of a layer as `overrides`: more bits, then float. */
export function milderForms(options: OptionValues, { kind, bits }: Change): readonly OptionValues[] {
  const { scheme, weights } = withDtype(options);
  if (kind !== "quantized" || bits === undefined || scheme === "float16" || scheme === "bfloat16") return [];
  const wider = [...(bits < 4 ? [{ bits: 4 }] : []), areCodes(weights) ? { bits: 8 } : { bits: 8, weights: "int8" }];
  return [...(bits < 7 ? wider : []), { float: true }];
}
