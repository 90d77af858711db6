/**
 * Deformable convolution: each tap reads the data at an offset with linear interpolation, optionally weighted by a mask.
 * Data N × C × H × W, weight M × C/group × kernel, offsets N × (offset groups · taps · 2) × out.
 */
import { Miss } from "../errors.ts";
import { defineOp, type Site } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { convCost, convolved, convWeight, readConv } from "./shared/convolution.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { picked } from "./shared/products.ts";

const asConv = (site: Site): Site => picked(site, [0, 1, 3]);

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
  // Only the axes of the batch are linked: the channels of a deformable convolution stay.
  axes: () => [
    { from: ["in0", 0], to: ["out0", 0] },
    { from: ["in0", 0], to: ["in2", 0] },
    { from: ["in0", 0], to: ["in4", 0] },
  ],
  gradient: inferenceOnly,
  cost: (s, site) => convCost(s, asConv(site)),
  quantize: new Miss("ONNX Runtime has no integer kernel for it on CPU"),
});
