/** Settings and formats of layers that lose less, for the precision fallback, and settings for a download size. */
import type { Change, OptionValues } from "../passes/pass.ts";
import { areCodes, withDtype } from "./options.ts";
import { defaultDistortion, rdoq } from "./rounders/rdoq.ts";

/** Distortions of rate–distortion optimized rounding, a factor of √2 apart: from about 0.5 to 5 bits per weight after brotli. */
const distortions = Array.from({ length: 21 }, (_, at) => Number((0.32 * 2 ** (-at / 2)).toPrecision(2)));

/** Returns lower distortions, or all. */
export const milderSettings = ({ rounder, distortion }: OptionValues, all = false): readonly OptionValues[] =>
  rounder === rdoq.id
    ? distortions
        .filter((one) => all || one < Number(distortion ?? defaultDistortion))
        .map((one) => ({ distortion: one }))
    : [];

/** Returns the options with the rounding method whose values brotli shortens; undefined if they choose other values or another method. */
export function downloadOptions(options: OptionValues): OptionValues | undefined {
  const { scheme, bits = 8, block, weights, rounder = rdoq.id } = withDtype(options);
  const isInteger = (scheme === "weights" || scheme === "dynamic" || scheme === "static") && areCodes(weights);
  const isWide = typeof bits === "number" && bits >= fewBits && block === undefined;
  return isInteger && isWide && rounder === rdoq.id ? { ...options, rounder } : undefined;
}

/** 7-bit integers use the storage of 8 bits, but their sums never overflow. */
const fewBits = 7;

/** Returns the higher-precision formats of a layer as `overrides`: more bits, then float. */
export function milderForms(options: OptionValues, { kind, bits }: Change): readonly OptionValues[] {
  const { scheme, weights } = withDtype(options);
  if (kind !== "quantized" || bits === undefined || scheme === "float16" || scheme === "bfloat16") return [];
  const wider = [...(bits < 4 ? [{ bits: 4 }] : []), areCodes(weights) ? { bits: 8 } : { bits: 8, weights: "int8" }];
  return [...(bits < fewBits ? wider : []), { float: true }];
}
