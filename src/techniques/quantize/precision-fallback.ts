/** Lists settings and formats with smaller errors, for the precision fallback, and the settings for a download size. */
import { optionError } from "#ir";
import { type Change, type OptionValues, quantizedKind } from "#pass";
import { nearest } from "./rounders/nearest.ts";
import { defaultDistortion, rdoq } from "./rounders/rdoq.ts";
import { admitsLowEntropy, areIntegers, isLowEntropy, withDtype } from "./settings.ts";

/** Distortions of rate–distortion optimized rounding, a factor of √2 apart: from about 0.5 to 5 bits per weight after brotli. */
export const distortions = Array.from({ length: 21 }, (_, index) => Number((0.32 * 2 ** (-index / 2)).toPrecision(2)));

/** Returns settings with lower distortions if the options choose low-entropy values. */
export const fallbackSettings = (options: OptionValues): readonly OptionValues[] =>
  isLowEntropy(options)
    ? distortions.flatMap((distortion) =>
        distortion < Number(options.distortion ?? defaultDistortion) ? { distortion } : [],
      )
    : [];

/** Returns the settings for a download size: rdoq, whose values brotli compresses well, with all distortions. @throws PithError E_OPTION for other values. */
export function downloadSettings(options: OptionValues): readonly OptionValues[] {
  if (isLowEntropy({ rounder: rdoq.id, ...options }) && admitsLowEntropy(options))
    return distortions.map((distortion) => ({ rounder: rdoq.id, distortion }));
  throw optionError(
    "a download size needs 8-bit integers that the rounding method rdoq chooses, and the options ask for other values.",
    { hint: 'Use `scheme: "weights"`, dynamic or static, and remove `bits`, `block`, `weights` and `rounder`.' },
  );
}

/** Returns the options for a bit width: integers for 8 and 4 bits, palettes for others. */
export const optionsForBits = (bits: number): OptionValues =>
  bits === 8 ? { bits } : bits === 4 ? { bits, onnxOnly: true } : { bits, weights: "palette" };

/** Replaces the rounding method by the fastest: sizes are the same, and layers have about the same order by error. */
export const withFastRounding = (options: OptionValues): OptionValues => ({
  ...options,
  rounder: options.weights === "palette" ? undefined : nearest.id,
});

/** Returns the higher-precision formats of a layer as `overrides`: more bits, then float. */
export function fallbackOverrides(options: OptionValues, { kind, bits }: Change): readonly OptionValues[] {
  const { scheme, weights } = withDtype(options);
  if (kind !== quantizedKind || bits === undefined || scheme === "float16" || scheme === "bfloat16") return [];
  const wider = [
    ...(bits < 4 ? [{ bits: 4 }] : []),
    areIntegers({ weights }) ? { bits: 8 } : { bits: 8, weights: "int8" },
  ];
  return [...(bits < 7 ? wider : []), { float: true }];
}
