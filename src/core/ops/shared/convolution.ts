/** Facets that several convolution operators share. Data is N × C × spatial. */
import { type DataType, type Dim, type Emit, elementCount, fixedDims, Miss, multiplyDims, type Value } from "#graph";
import type { AxisLink, AxisRule, Chain, Inferred, Site, WeightRole } from "../define.ts";
import { readInteger, readIntegers } from "./attributes.ts";
import { countAttribute, inferShape, range, requireValue, withDims } from "./shapes.ts";
import { padAttributes, readWindow, type Window, windowDims } from "./window.ts";

export interface ConvSettings extends Window {
  readonly group: number;
}

export function readConv(site: Site): ConvSettings | Miss {
  const kernel = readIntegers(site, "kernel_shape") ?? fixedDims(site.inputs[1]?.dims?.slice(2));
  if (kernel === undefined) return new Miss("the kernel's size is not known");
  return { ...readWindow(site, kernel), group: readInteger(site, "group", 1) };
}

function convDims(s: ConvSettings, x: readonly Dim[], w: readonly Dim[]): readonly Dim[] | Miss {
  const [channels, perGroup] = [x[1], w[1]];
  if (typeof channels === "number" && typeof perGroup === "number" && channels !== perGroup * s.group)
    return new Miss(`the weight has ${perGroup * s.group} input channels, the input has ${channels}`);
  return [x[0] as Dim, w[0] as Dim, ...windowDims(s, x.slice(2))];
}

export function inferConv(s: ConvSettings, site: Site, type?: DataType): readonly Inferred[] | Miss {
  return inferShape(site, (x) => withDims(site, [1], (w) => convDims(s, x, w)), type);
}

export function convAttributes({ kernel, strides, dilations, group, ...window }: ConvSettings) {
  return { kernel_shape: kernel, strides, dilations, group, ...padAttributes(window) };
}

export function convWeight(s: ConvSettings, site: Site): WeightRole | Miss {
  if (site.inputs[1]?.stored !== true) return new Miss("the kernel is an activation");
  const bias = site.inputs[2]?.stored === true ? { bias: 2 } : {};
  const isPadded = s.autoPad.startsWith("SAME") || s.pads.some((pad) => pad !== 0);
  const paddingFlag = isPadded ? ({ readsZeros: true } as const) : {};
  return { input: 1, out: 0, in: 1, groups: s.group, data: 0, dataAxis: 1, outputAxis: 1, ...bias, ...paddingFlag };
}

/** Parts without window axes are 1 × 1. The last has the bias, which padded positions would otherwise lack. */
export function convChain(s: ConvSettings): Chain {
  return (emit, [x, , bias], parts) => {
    const lastPart = parts.at(-1);
    const output = parts.reduce((data, part) => {
      const { window = [] } = part;
      const selectAxes = (values: readonly number[], outsideWindow: number): readonly number[] =>
        values.map((value, index) => (window.includes(index % s.kernel.length) ? value : outsideWindow));
      const [kernel, strides, dilations] = [
        selectAxes(s.kernel, 1),
        selectAxes(s.strides, 1),
        selectAxes(s.dilations, 1),
      ];
      const attributes = convAttributes({ ...s, kernel, strides, dilations, pads: selectAxes(s.pads, 0) });
      const inputs = part === lastPart ? [data, part.weight, bias] : [data, part.weight];
      return emit.named(`${part.name}.output`).Conv(inputs, attributes);
    }, x);
    return requireValue(output);
  };
}

/** Links a channel with its kernels (depthwise), with the channels at its position in all groups, or, with one group, with no other channel. */
export function convAxes(s: ConvSettings, site: Site): AxisRule | Miss {
  // The data's dimensions can be unknown.
  return withDims(site, [1], ([outputs, perGroupIn]) => {
    if (typeof outputs !== "number" || typeof perGroupIn !== "number")
      return new Miss("the dimensions of its weight are not known");
    const commonLinks: AxisLink[] = [
      { from: ["in0", 0], to: ["out0", 0] },
      { from: ["in1", 0], to: ["out0", 1] },
      { from: ["in2", 0], to: ["out0", 1] },
    ];
    if (s.group === 1) return { links: [...commonLinks, { from: ["in0", 1], to: ["in1", 1] }] };
    const perGroupOut = outputs / s.group;
    if (perGroupIn === 1) {
      const kernelsOfChannel = (c: number): number[] => range(perGroupOut, c * perGroupOut);
      const kernelsOfSameChannel = (index: number): number[] => kernelsOfChannel(Math.floor(index / perGroupOut));
      const links: readonly AxisLink[] = [...commonLinks, { from: ["in0", 1], to: ["in1", 0], map: kernelsOfChannel }];
      return {
        links:
          perGroupOut === 1 ? links : [...links, { from: ["out0", 1], to: ["out0", 1], map: kernelsOfSameChannel }],
        resize: (removal) => countAttribute("group", removal.dims("in0")[1]),
      };
    }
    return {
      links: [
        ...commonLinks,
        { from: ["in1", 1], to: ["in0", 1], map: linkAcrossGroups(s.group, perGroupIn) },
        { from: ["out0", 1], to: ["out0", 1], map: linkAcrossGroups(s.group, perGroupOut) },
      ],
    };
  });
}

export const linkAcrossGroups = (groups: number, perGroup: number) => (index: number) =>
  range(groups).map((group) => group * perGroup + (index % perGroup));

export function convCost(s: ConvSettings, site: Site): Dim | Miss {
  return withDims(site, [0, 1], (x, w) => {
    const out = convDims(s, x, w);
    return out instanceof Miss ? out : multiplyDims(elementCount(out), elementCount(w.slice(1)));
  });
}

export const toChannelsFirst = (dims: readonly Dim[]): readonly Dim[] => [
  ...dims.slice(0, 1),
  ...dims.slice(-1),
  ...dims.slice(1, -1),
];
export const toChannelsLast = ([batch = 1, channels = 1, ...spatial]: readonly Dim[]): readonly Dim[] => [
  batch,
  ...spatial,
  channels,
];

export function withChannelsFirstData(site: Site): Site {
  const [data] = site.inputs;
  return { ...site, inputs: site.inputs.with(0, data?.dims && { ...data, dims: toChannelsFirst(data.dims) }) };
}

/** Applies `compute` to channels-last inputs that are transposed to channels first, and transposes the result back. */
export function transposeAround(emit: Emit, rank: number, inputs: Values, compute: (inputs: Values) => Value): Value {
  const spatial = range(rank - 2, 1);
  const moveChannelsFirst = (value: Value | undefined): Value | undefined =>
    value && emit.Transpose([value], { perm: [0, rank - 1, ...spatial] });
  return emit.Transpose([compute(inputs.map(moveChannelsFirst))], { perm: [0, ...spatial.map((axis) => axis + 1), 1] });
}

type Values = readonly (Value | undefined)[];
