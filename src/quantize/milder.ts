/** Returns the higher-precision formats of a layer as `overrides`: more bits, then float. */
import type { Change, OptionValues } from "../passes/pass.ts";
import { withDtype } from "./options.ts";

/** 7-bit integers use the storage of 8 bits, but their sums never overflow. */
const fewBits = 7;

export function milderForms(options: OptionValues, { kind, bits }: Change): readonly OptionValues[] {
  const { scheme, weights } = withDtype(options);
  if (kind !== "quantized" || bits === undefined || scheme === "float16" || scheme === "bfloat16") return [];
  const isInteger = weights === undefined || weights === "int8" || weights === "uint8";
  const wider = [...(bits < 4 ? [{ bits: 4 }] : []), isInteger ? { bits: 8 } : { bits: 8, weights: "int8" }];
  return [...(bits < fewBits ? wider : []), { float: true }];
}
