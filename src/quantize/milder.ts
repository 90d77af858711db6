/** The forms of one layer that lose less than the one it was given, as `overrides` have them: more bits, then floats. */
import type { Change, OptionValues } from "../passes/pass.ts";
import { withDtype } from "./options.ts";

/** Integers of 7 bits are those of 8 whose sums never overflow. */
const fewBits = 7;

export function milderForms(options: OptionValues, { kind, bits }: Change): readonly OptionValues[] {
  const { scheme, weights } = withDtype(options);
  if (kind !== "quantized" || bits === undefined || scheme === "float16" || scheme === "bfloat16") return [];
  const isInteger = weights === undefined || weights === "int8" || weights === "uint8";
  const wider = [...(bits < 4 ? [{ bits: 4 }] : []), isInteger ? { bits: 8 } : { bits: 8, weights: "int8" }];
  return [...(bits < fewBits ? wider : []), { float: true }];
}
