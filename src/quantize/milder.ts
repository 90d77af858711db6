/** Settings and formats of layers that lose less, for the precision fallback. */
import type { Change, OptionValues } from "../passes/pass.ts";
import { usualDistortion, withDtype } from "./options.ts";
import { rdoq } from "./rounders/rdoq.ts";

/** Distortions of rate–distortion optimized rounding: from about 1 to 8 bits per weight, a quarter of a bit apart. */
const distortions = Array.from({ length: 21 }, (_, at) => Number((0.32 * 2 ** (-at / 2)).toPrecision(2)));

/** Returns lower distortions, or all. */
export const milderSettings = ({ rounder, distortion }: OptionValues, all = false): readonly OptionValues[] =>
  rounder === rdoq.id
    ? distortions
        .filter((one) => all || one < Number(distortion ?? usualDistortion))
        .map((one) => ({ distortion: one }))
    : [];

/** 7-bit integers use the storage of 8 bits, but their sums never overflow. */
const fewBits = 7;

/** Returns the higher-precision formats of a layer as `overrides`: more bits, then float. */
export function milderForms(options: OptionValues, { kind, bits }: Change): readonly OptionValues[] {
  const { scheme, weights } = withDtype(options);
  if (kind !== "quantized" || bits === undefined || scheme === "float16" || scheme === "bfloat16") return [];
  const isInteger = weights === undefined || weights === "int8" || weights === "uint8";
  const wider = [...(bits < 4 ? [{ bits: 4 }] : []), isInteger ? { bits: 8 } : { bits: 8, weights: "int8" }];
  return [...(bits < fewBits ? wider : []), { float: true }];
}
