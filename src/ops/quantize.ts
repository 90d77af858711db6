/**
 * Rounding to integers and back: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.
 * q = saturate(round-half-even(x / scale) + zero point); x = (q - zero point) · scale.
 * Opset history: per tensor since 10, along an axis since 13, 8-bit floats since 19, in blocks and for 4 and 16 bits since 21, types told by
 * an attribute since 21 (QuantizeLinear) and 23, 4-bit floats since 23, 2 bits since 25.
 *
 * DequantizeLinear of a stored tensor is how a quantized weight looks: layers and axes are found through it. Training does not go through
 * rounding to integers; fake quantization is written as arithmetic whose `Round` has the role `straight-through`.
 */
import { Miss } from "../errors.ts";
import type { Dim } from "../tensor/dims.ts";
import type { DataType } from "../tensor/types.ts";
import { type AxisLink, defineOp, type Inferred, type Site } from "./define.ts";
import { elementType, integer, wrapAxis } from "./shared/attributes.ts";
import { noRank, quantizedAlready } from "./shared/misses.ts";
import { need, range, sameAxes } from "./shared/rules.ts";

interface Settings {
  readonly axis: number;
  readonly block: number;
  readonly type: DataType | undefined;
}

/** One scale for all, as a scalar or a vector of one, has no axis. */
function read(site: Site): Settings | Miss {
  const { dims } = need(site, 0);
  const scale = site.inputs[1]?.dims;
  const block = integer(site, "block_size", 0);
  const type = elementType(site, "output_dtype");
  const single = scale?.length === 0 || (scale?.length === 1 && scale[0] === 1);
  if (single || scale === undefined) return { axis: 0, block, type };
  if (dims === undefined) return noRank;
  return { axis: wrapAxis(integer(site, "axis", 1), dims.length), block, type };
}

/** Axes pass; scales of channels are cut with them, and those of blocks with whole blocks. */
function axes(s: Settings, site: Site, dims: readonly Dim[]): readonly AxisLink[] | Miss {
  const scales = [1, 2].flatMap((input) => {
    const own = site.inputs[input]?.dims;
    return own === undefined ? [] : [{ port: `in${input}` as const, own }];
  });
  if (s.block > 0) {
    const size = dims[s.axis];
    if (typeof size !== "number") return new Miss("is quantized in blocks along an axis whose size is not known");
    const block = (at: number): number[] => range(Math.min(s.block, size - at * s.block), at * s.block);
    const whole = {
      from: ["in0", s.axis],
      to: ["in0", s.axis],
      map: (index) => block(Math.floor(index / s.block)),
    } as const satisfies AxisLink;
    const beside = scales.flatMap(({ port, own }) =>
      own.map((_, axis): AxisLink => {
        const link = { from: [port, axis], to: ["out0", axis] } as const;
        return axis === s.axis ? { ...link, map: block } : link;
      }),
    );
    return [...sameAxes(dims), whole, ...beside];
  }
  const beside = scales.flatMap(({ port, own }): AxisLink[] =>
    own.length === 1 && own[0] !== 1 ? [{ from: [port, 0], to: ["out0", s.axis] }] : [],
  );
  return [...sameAxes(dims), ...beside];
}

export const QuantizeLinear = defineOp<Settings>({
  name: "QuantizeLinear",
  needsFloat32: () => "kernels for integers take scales in float32",
  read,
  infer: (s, site) => [{ type: site.inputs[2]?.type ?? s.type ?? "uint8", dims: need(site, 0).dims }],
  axes,
  gradient: new Miss("rounds to integers; train with `fake-quantize` instead"),
  quantize: quantizedAlready,
});

export const DequantizeLinear = defineOp<Settings>({
  name: "DequantizeLinear",
  codes: [{ input: 0, scale: 1, zeroPoint: 2 }],
  needsFloat32: () => "kernels for integers take scales in float32",
  read,
  infer: (s, site) => [{ type: s.type ?? site.inputs[1]?.type ?? "float32", dims: need(site, 0).dims }],
  axes,
  gradient: new Miss("its input is integers"),
  quantize: quantizedAlready,
});

/** uint8 with the range of the very tensor, 0 included. Outputs: integers, scale, zero point. */
export const DynamicQuantizeLinear = defineOp({
  name: "DynamicQuantizeLinear",
  mustBe: () => [{ input: 0, type: { type: "float32", dims: undefined } }],
  infer: (_, site): readonly Inferred[] => [
    { type: "uint8", dims: need(site, 0).dims },
    { type: "float32", dims: [] },
    { type: "uint8", dims: [] },
  ],
  // 0 is always in its range: what is left is rounded as it is beside zeros.
  axes: (_, __, dims) => [...sameAxes(dims), ...dims.map((_, axis): AxisLink => ({ absorbs: ["in0", axis] }))],
  gradient: new Miss("rounds to integers"),
  quantize: quantizedAlready,
});
