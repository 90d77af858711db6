/** Decides from options and layer how a weight is stored: integer type, bits, and the axis of its scales. */
import { type Layer, optionsOfLayer } from "#analysis";
import { fixedDims } from "#ir";
import type { WeightType } from "../grid.ts";
import type { RoundedSettings, WeightsSettings } from "../settings.ts";
import type { Kernels } from "./scales-without-overflow.ts";

export interface WeightSettings {
  readonly type: WeightType;
  readonly perChannel: boolean;
  readonly bits: number;
  readonly zeroPoints?: boolean;
  /** With 7 bits: the order in which kernels add products (`scales-without-overflow.ts`). */
  readonly kernels?: Kernels;
}

/** Returns the axis of the scales: the outputs of a product, or the rows of an embedding table, which are read separately. */
export const scaleAxis = ({ role }: Layer): number => (role.kind === "lookup" ? role.in : role.out);

export function slicedAxis(layer: Layer, perChannel: boolean): number | undefined {
  const axis = scaleAxis(layer);
  return perChannel && fixedDims(layer.effective.type?.dims)?.[axis] !== 1 ? axis : undefined;
}

/** Returns how the options store a weight as integers of a width; up to 4 bits are stored as int4. */
export const integerWeight = (
  { weights, perChannel, zeroPoints }: Pick<WeightsSettings, "weights" | "perChannel" | "zeroPoints">,
  bits = 8,
): WeightSettings => ({
  type: bits <= 4 ? "int4" : weights === "uint8" ? "uint8" : "int8",
  perChannel,
  bits,
  zeroPoints: zeroPoints === true && !perChannel && (bits === 4 || bits > 6),
});

/** Returns the bits of integer products: 7 are exact for int8; uint8 products are added in 32 bits. */
export const productBits = ({ bits, weights }: Pick<WeightsSettings, "bits" | "weights">): 7 | 8 =>
  bits === 7 && weights !== "uint8" ? 7 : 8;

export const staysFloat = (layer: Layer, options: RoundedSettings): boolean =>
  optionsOfLayer<RoundedSettings & { readonly float?: boolean | undefined }>(options, layer).options.float === true;
