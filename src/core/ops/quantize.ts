/**
 * QuantizeLinear: q = saturate(round-half-even(x / scale) + zero point); DequantizeLinear: x = (q - zero point) · scale; DynamicQuantizeLinear.
 * Opset history: per axis since 13, float8 since 19, blocks, int4 and int16 since 21, output type as an attribute since 21 (QuantizeLinear) and 23,
 * float4 since 23, 2 bits since 25. Layers are found through the DequantizeLinear of a stored tensor.
 * Gradients stop here; fake quantization uses `Round` with the role `straight-through`.
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

/** A single scale, scalar or vector, has no axis. */
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

/** Per-channel scales are cut with channels; block scales with complete blocks. */
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

/** Quantizes to uint8 over the tensor's own range, including 0. Outputs: integers, scale, zero point. */
export const DynamicQuantizeLinear = defineOp({
  name: "DynamicQuantizeLinear",
  mustBe: () => [{ input: 0, type: { type: "float32", dims: undefined } }],
  infer: (_, site): readonly Inferred[] => [
    { type: "uint8", dims: need(site, 0).dims },
    { type: "float32", dims: [] },
    { type: "uint8", dims: [] },
  ],
  // The range always includes 0, so zero channels do not affect the others.
  axes: (_, __, dims) => [...sameAxes(dims), ...dims.map((_, axis): AxisLink => ({ absorbs: ["in0", axis] }))],
  gradient: new Miss("rounds to integers"),
  quantize: quantizedAlready,
});
