/** Describes layers that are kept at higher precision, for reports and the command line. */
import { bytes as bytesText, counted, percent } from "#ir";
import type { OptionValues } from "#pass";

export interface PreciseLayer {
  readonly layer: string;
  /** Bits of the weight; undefined for float. */
  readonly bits: number | undefined;
  /** Output error with only this layer quantized as requested, as a share of the error with all layers quantized. */
  readonly share: number | undefined;
  readonly bytes: number;
}

export interface PrecisionFallback {
  /** Less lossy settings that replaced the requested ones. */
  readonly settings?: OptionValues;
  readonly preciseLayers: readonly PreciseLayer[];
  readonly attempts: readonly FallbackAttempt[];
}

export interface FallbackAttempt {
  readonly layers?: number;
  readonly found: string;
}

export const formatSettings = (settings: OptionValues): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

export const formatPreciseLayer = (layer: PreciseLayer): string => `${layer.layer}: ${describePreciseLayer(layer)}`;
export const describePreciseLayer = (layer: PreciseLayer): string =>
  `kept ${layer.bits === undefined ? "in" : "at"} ${formatPrecision(layer)}; ${precisionReason(layer)}`;

/** Returns "8 bits", or "float" without bits. */
export const formatPrecision = ({ bits }: OptionValues | PreciseLayer = {}): string =>
  typeof bits === "number" ? counted(bits, "bit") : "float";

export function precisionReason({ share, bytes }: PreciseLayer): string {
  const cause =
    share === undefined || share <= 0
      ? "these layers together meet the goal"
      : share === Number.POSITIVE_INFINITY
        ? "it causes values that are not finite"
        : `it causes ${percent(Math.min(1, share), 0)} of the error`;
  return `${cause} (+${bytesText(bytes)})`;
}
