/** FusedConv (Conv + fourth input + activation) and its channels-last forms NhwcConv and NhwcFusedConv (GPU only): data N × spatial × C. */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { AxisLink, Op, Site, WeightRole } from "../define.ts";
import { type Activation, activate, readActivation } from "../shared/activations.ts";
import { decimals, text } from "../shared/attributes.ts";
import {
  type ConvSettings,
  channelsLast,
  convAttributes,
  convAxes,
  convCost,
  convDims,
  convolved,
  convWeight,
  readConv,
  turned,
} from "../shared/convolution.ts";
import { lowerFirst } from "../shared/misses.ts";
import { shaped, withDims } from "../shared/rules.ts";
import { gpuOnly, microsoftOp, typed } from "./typed.ts";

interface Settings extends ConvSettings {
  readonly activation: Activation;
}

function read(site: Site): Settings | Miss {
  const s = readConv(site);
  const activation = readActivation(text(site, "activation", ""), decimals(site, "activation_params") ?? []);
  if (s instanceof Miss) return s;
  return activation instanceof Miss ? activation : { ...s, activation };
}

function fusedWeight(s: Settings, site: Site): WeightRole | Miss {
  const role = convWeight(s, site);
  if (role instanceof Miss || (s.activation.name === "" && site.inputs[3] === undefined)) return role;
  return { ...role, fused: s.activation.name === "" ? "a sum" : s.activation.name };
}

function primitives(s: Settings, emit: Emit, [x, w, bias, sum]: readonly (Value | undefined)[]): Value {
  const y = emit.Conv([x, w, bias], convAttributes(s));
  return activate(emit, sum === undefined ? y : emit.Add([y, sum]), s.activation);
}

export const FusedConv = microsoftOp<Settings>({
  name: "FusedConv",
  read,
  infer: convolved,
  parameters: [1, 2],
  weight: fusedWeight,
  axes: (s, site) => {
    const rule = convAxes(s, site);
    if (rule instanceof Miss) return rule;
    const added = [0, 1].map((at): AxisLink => ({ from: ["in3", at], to: ["out0", at] }));
    return { ...rule, links: [...rule.links, ...added] };
  },
  lower: (s, emit, inputs) => [primitives(s, emit, inputs)],
  cost: convCost,
  quantize: new Miss(`an activation is fused into it: ${lowerFirst}`),
});

const asFirst = (site: Site): Site => ({ ...site, inputs: site.inputs.with(0, turned(site.inputs[0])) });

const nhwc = (name: string): Op =>
  typed<ConvSettings>({
    name,
    read: readConv,
    infer: (s, site) =>
      shaped(site, () => {
        const dims = withDims(asFirst(site), [0, 1], (x, w) => convDims(s, x, w));
        return dims instanceof Miss ? dims : channelsLast(dims);
      }),
    why: gpuOnly,
    parameters: [1, 2],
    cost: (s, site) => convCost(s, asFirst(site)),
  });

export const microsoftConvOperators: readonly Op[] = [nhwc("NhwcConv"), nhwc("NhwcFusedConv")];
