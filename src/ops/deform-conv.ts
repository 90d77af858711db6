/**
 * Deformable convolution: each tap reads the data at an offset with linear interpolation, optionally weighted by a mask.
 * Data N × C × H × W, weight M × C/group × kernel, offsets N × (offset groups · taps · 2) × out.
 */
import { Miss } from "../errors.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { elementCount, stridesOf } from "../tensor/dims.ts";
import { defineOp, type Site } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { type ConvSettings, convCost, convolved, convWeight, readConv } from "./shared/convolution.ts";
import { picked } from "./shared/products.ts";
import { range, scalar, typeOf } from "./shared/rules.ts";
import { sample } from "./shared/sampling.ts";
import { explicitPads, windowDims } from "./shared/window.ts";

const asConv = (site: Site): Site => picked(site, [0, 1, 3]);

/** Returns the positions that each tap reads along an axis without offsets, for all output positions. */
function startsOf(s: ConvSettings, pads: readonly number[], out: readonly number[], axis: number): number[] {
  const [taps, places] = [elementCount(s.kernel), elementCount(out)];
  const along = (sizes: readonly number[], at: number): number =>
    Math.floor(at / (stridesOf(sizes)[axis] ?? 1)) % (sizes[axis] ?? 1);
  return range(taps * places).map((at) => {
    const [tap, place] = [along(s.kernel, Math.floor(at / places)), along(out, at % places)];
    return place * (s.strides[axis] ?? 1) - (pads[axis] ?? 0) + tap * (s.dilations[axis] ?? 1);
  });
}

export const DeformConv = defineOp({
  name: "DeformConv",
  sameType: 0,
  read: (site) => {
    const s = readConv(site);
    return s instanceof Miss ? s : { ...s, offsetGroups: integer(site, "offset_group", 1) };
  },
  infer: (s, site) => convolved(s, asConv(site)),
  parameters: [1, 3],
  weight: (s, site) => {
    const role = convWeight(s, asConv(site));
    return role instanceof Miss || role.bias === undefined ? role : { ...role, bias: 3 };
  },
  axes: (s) =>
    s.group !== 1 || s.offsetGroups !== 1
      ? new Miss("channels of a grouped deformable convolution are not removed")
      : [
          { from: ["in0", 0], to: ["out0", 0] },
          { from: ["in0", 0], to: ["in2", 0] },
          { from: ["in0", 0], to: ["in4", 0] },
          { from: ["in0", 1], to: ["in1", 1] },
          { from: ["in1", 0], to: ["out0", 1] },
          { from: ["in3", 0], to: ["out0", 1] },
        ],
  // Samples into columns; the rest is a matrix product per group.
  lower: (s, emit, [x, w, offset, bias, mask]) => {
    const [dims, kernels] = [x.type?.dims, w?.type?.dims];
    const [channels, ...spatial] = dims?.slice(1) ?? [];
    const outputs = kernels?.[0];
    const [height, width] = spatial;
    if (typeof channels !== "number" || typeof outputs !== "number") return new Miss("its channels are not known");
    if (spatial.length !== 2 || typeof height !== "number" || typeof width !== "number")
      return new Miss("the size of its images is not known");
    const sizes = [height, width];
    const out = windowDims(s, sizes) as readonly number[];
    const [taps, places] = [elementCount(s.kernel), elementCount(out)];
    const perGroup = channels / s.offsetGroups;
    const parts = emit.Reshape([x, [-1, perGroup, height, width]]);
    const images = emit.Transpose([parts], { perm: [0, 2, 3, 1] });
    const moves = emit.Reshape([offset, [-1, taps, 2, places]]);
    const pads = explicitPads(s, sizes);
    const coordinates = sizes.map((_, axis) => {
      const move = emit.Gather([moves, scalar(emit, "int64", axis)], { axis: 2 });
      const base = emit.constant(
        fromNumbers(typeOf(x) === "float64" ? "float64" : "float32", [1, taps, places], startsOf(s, pads, out, axis)),
        "taps",
      );
      return emit.Reshape([emit.Add([move, base]), [-1, taps * places]]);
    });
    const read = sample(emit, images, sizes, coordinates, { kernel: "linear", outside: "zeros" });
    const seen = mask === undefined ? read : emit.Mul([read, emit.Reshape([mask, [-1, taps * places, 1]])]);
    const columns = emit.Transpose([emit.Reshape([seen, [-1, taps, places, perGroup]])], { perm: [0, 3, 1, 2] });
    const inputs = (channels / s.group) * taps;
    const grouped = emit.Reshape([columns, [-1, s.group, inputs, places]]);
    const matrices = emit.Reshape([w, [1, s.group, outputs / s.group, inputs]]);
    const y = emit.Reshape([emit.MatMul([matrices, grouped]), [-1, outputs, ...out]]);
    return [bias === undefined ? y : emit.Add([y, emit.Reshape([bias, [outputs, 1, 1]])])];
  },
  cost: (s, site) => convCost(s, asConv(site)),
  quantize: new Miss("ONNX Runtime has no integer kernel for it on CPU"),
});
