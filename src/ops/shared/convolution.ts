/** What every convolution over N × C × spatial knows of its operands, whatever the numbers are: dimensions, channels, groups, products. */
import { Miss } from "../../errors.ts";
import { type Dim, elementCount, multiplyDims } from "../../tensor/dims.ts";
import type { AxisLink, AxisRule, Site, WeightRole } from "../define.ts";
import { integer, integers } from "./attributes.ts";
import { dimsAt } from "./rules.ts";
import { readWindow, type Window, windowDims } from "./window.ts";

export interface ConvSettings extends Window {
  readonly group: number;
}

export function readConv(site: Site): ConvSettings | Miss {
  const weight = site.inputs[1]?.dims;
  const kernel = integers(site, "kernel_shape") ?? weight?.slice(2);
  if (kernel === undefined || !kernel.every((size) => typeof size === "number"))
    return new Miss("the kernel's size is not known");
  return { ...readWindow(site, kernel as readonly number[]), group: integer(site, "group", 1) };
}

export function convDims(s: ConvSettings, site: Site): readonly Dim[] | Miss {
  const [x, w] = [dimsAt(site, 0), dimsAt(site, 1)];
  if (x instanceof Miss) return x;
  if (w instanceof Miss) return w;
  const [channels, perGroup] = [x[1], w[1]];
  if (typeof channels === "number" && typeof perGroup === "number" && channels !== perGroup * s.group) {
    return new Miss(`the weight has ${perGroup * s.group} input channels, the input has ${channels}`);
  }
  return [x[0] as Dim, w[0] as Dim, ...windowDims(s, x.slice(2))];
}

export function convWeight(s: ConvSettings, site: Site): WeightRole | Miss {
  if (site.inputs[1]?.stored !== true) return new Miss("the kernel is an activation");
  const bias = site.inputs[2]?.stored === true ? { bias: 2 } : {};
  return { input: 1, out: 0, in: 1, groups: s.group, data: 0, dataAxis: 1, outputAxis: 1, ...bias };
}

/**
 * Channels. Without groups, input and output channels are independent. Depthwise, they are tied one to one (or one to m), and the number
 * of groups shrinks. With groups, the same positions go in every group, so that groups stay equal.
 */
export function convAxes(s: ConvSettings, site: Site): AxisRule | Miss {
  const [x, w] = [dimsAt(site, 0), dimsAt(site, 1)];
  if (x instanceof Miss) return x;
  if (w instanceof Miss) return w;
  const [channels, outputs] = [x[1], w[0]];
  if (typeof channels !== "number" || typeof outputs !== "number")
    return new Miss("the number of channels is not known");
  const bias: AxisLink[] = site.inputs[2] === undefined ? [] : [{ from: ["in2", 0], to: ["out0", 1] }];
  const common: AxisLink[] = [{ from: ["in0", 0], to: ["out0", 0] }, { from: ["in1", 0], to: ["out0", 1] }, ...bias];
  if (s.group === 1) return { links: [...common, { from: ["in0", 1], to: ["in1", 1] }] };
  const perGroupOut = outputs / s.group;
  const perGroupIn = channels / s.group;
  const run = (start: number, count: number): number[] => Array.from({ length: count }, (_, index) => start + index);
  if (perGroupIn === 1) {
    const kernels = (c: number): number[] => run(c * perGroupOut, perGroupOut);
    // The kernels of one channel go together.
    const together: AxisLink = {
      from: ["out0", 1],
      to: ["out0", 1],
      map: (index) => kernels(Math.floor(index / perGroupOut)),
    };
    return {
      links: [...common, { from: ["in0", 1], to: ["in1", 0], map: kernels }, ...(perGroupOut === 1 ? [] : [together])],
      resize: (cut) => {
        const left = cut.dims("in0")[1];
        return typeof left === "number" ? { attributes: { group: { kind: "int", value: left } } } : {};
      },
    };
  }
  const acrossGroups = (perGroup: number) => (index: number) =>
    run(0, s.group).map((group) => group * perGroup + (index % perGroup));
  return {
    links: [
      ...common,
      { from: ["in1", 1], to: ["in0", 1], map: acrossGroups(perGroupIn) },
      { from: ["out0", 1], to: ["out0", 1], map: acrossGroups(perGroupOut) },
    ],
  };
}

export function convCost(s: ConvSettings, site: Site): { readonly macs: Dim } | Miss {
  const out = convDims(s, site);
  const w = dimsAt(site, 1);
  if (out instanceof Miss) return out;
  return w instanceof Miss ? w : { macs: multiplyDims(elementCount(out), elementCount(w.slice(1))) };
}
