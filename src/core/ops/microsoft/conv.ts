/** FusedConv: Conv plus input 3, then an activation. */
import { Miss } from "#graph";
import type { AxisLink } from "../define.ts";
import { type Activation, readActivation, writeActivation } from "../shared/activations.ts";
import { readFloats, readString } from "../shared/attributes.ts";
import {
  type ConvSettings,
  convAttributes,
  convAxes,
  convCost,
  convWeight,
  inferConv,
  readConv,
} from "../shared/convolution.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { lowerFirst } from "../shared/misses.ts";

export const FusedConv = defineMicrosoftOp<ConvSettings & { readonly activation: Activation }>({
  name: "FusedConv",
  read: (site) => {
    const s = readConv(site);
    const activation = readActivation(readString(site, "activation", ""), readFloats(site, "activation_params") ?? []);
    if (s instanceof Miss) return s;
    return activation instanceof Miss ? activation : { ...s, activation };
  },
  infer: inferConv,
  parameters: [1, 2],
  weight: (s, site) => {
    const role = convWeight(s, site);
    if (role instanceof Miss || (s.activation.name === "" && site.inputs[3] === undefined)) return role;
    return { ...role, fused: s.activation.name === "" ? "a sum" : s.activation.name };
  },
  axes: (s, site) => {
    const rule = convAxes(s, site);
    if (rule instanceof Miss) return rule;
    const addend = [0, 1].map((axis): AxisLink => ({ from: ["in3", axis], to: ["out0", axis] }));
    return { ...rule, links: [...rule.links, ...addend] };
  },
  lower: (s, emit, [x, w, bias, addend]) => {
    const y = emit.Conv([x, w, bias], convAttributes(s));
    return [writeActivation(emit, addend === undefined ? y : emit.Add([y, addend]), s.activation)];
  },
  cost: convCost,
  quantize: new Miss(`an activation is fused into it: ${lowerFirst}`),
});
