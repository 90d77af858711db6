/**
 * Deformable convolution: each tap of the kernel reads the data at a place of its own, moved by an offset (in places, between them linearly),
 * and may be weighed by a mask. Data N × C × H × W, weight M × C/group × kernel, offsets N × (offset groups · taps · 2) × out.
 */
import { Miss } from "../errors.ts";
import { type AxisLink, alwaysChanges, defineOp, notYet, type Op, type Site } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { type ConvSettings, convCost, convDims, convWeight, readConv } from "./shared/convolution.ts";
import { primitive } from "./shared/misses.ts";
import { need } from "./shared/rules.ts";

interface Settings extends ConvSettings {
  readonly offsetGroups: number;
}

/** Its operands as a convolution has them: offsets and mask left out. */
function asConv(site: Site): Site {
  return { ...site, inputs: [site.inputs[0], site.inputs[1], site.inputs[3]] };
}

const DeformConv = defineOp<Settings>({
  name: "DeformConv",
  sameType: 0,
  read: (site) => {
    const s = readConv(site);
    return s instanceof Miss ? s : { ...s, offsetGroups: integer(site, "offset_group", 1) };
  },
  infer: (s, site) => {
    const dims = convDims(s, asConv(site));
    return dims instanceof Miss ? dims : [{ type: need(site, 0).type, dims }];
  },
  unchanged: alwaysChanges,
  parameters: (_, site) => [1, 3].filter((input) => site.inputs[input]?.stored === true),
  weight: (s, site) => {
    const role = convWeight(s, asConv(site));
    return role instanceof Miss || role.bias === undefined ? role : { ...role, bias: 3 };
  },
  axes: (s, site) => {
    if (s.group !== 1 || s.offsetGroups !== 1) return new Miss("a deformable convolution with groups is not cut");
    const optional = (input: 3 | 4, links: readonly AxisLink[]): readonly AxisLink[] =>
      site.inputs[input] === undefined ? [] : links;
    return {
      links: [
        { from: ["in0", 0], to: ["out0", 0] },
        { from: ["in0", 0], to: ["in2", 0] },
        { from: ["in0", 1], to: ["in1", 1] },
        { from: ["in1", 0], to: ["out0", 1] },
        ...optional(3, [{ from: ["in3", 0], to: ["out0", 1] }]),
        ...optional(4, [{ from: ["in0", 0], to: ["in4", 0] }]),
      ],
    };
  },
  lower: primitive,
  gradient: notYet("gradient of DeformConv"),
  cost: (s, site) => convCost(s, asConv(site)),
  quantize: new Miss("ONNX Runtime has no integer kernel for it on CPU"),
});

export const deformConvOperators: readonly Op[] = [DeformConv];
