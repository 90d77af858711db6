/**
 * ONNX Runtime's convolutions: FusedConv (Conv, then a sum with a fourth input, then an activation), and the same with channels last (NhwcConv,
 * NhwcFusedConv: data N × spatial × C, weight as for Conv). Graph optimization writes them; those with channels last on GPU alone.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import { type AxisLink, defineOp, type Op, type Operand, type Site } from "../define.ts";
import { decimals, text } from "../shared/attributes.ts";
import { type ConvSettings, convAxes, convCost, convDims, convWeight, readConv } from "../shared/convolution.ts";
import { need } from "../shared/rules.ts";
import { type Activation, activate, readActivation } from "./activation.ts";

const microsoft = "com.microsoft";

interface Settings extends ConvSettings {
  readonly activation: Activation;
}

function read(site: Site): Settings | Miss {
  const s = readConv(site);
  const activation = readActivation(text(site, "activation", ""), decimals(site, "activation_params") ?? []);
  if (s instanceof Miss) return s;
  return activation instanceof Miss ? activation : { ...s, activation };
}

/** What happens to the product in the same node, or undefined. */
function fusedInto(s: Settings, site: Site): string | undefined {
  if (s.activation.name !== "") return s.activation.name;
  return site.inputs[3] === undefined ? undefined : "a sum";
}

const stored = (_: unknown, site: Site): readonly number[] =>
  [1, 2].filter((input) => site.inputs[input]?.stored === true);

/** Conv as its entry writes it, the sum, the activation. */
function primitives(s: Settings, emit: Emit, [x, w, bias, sum]: readonly (Value | undefined)[]): Value {
  const { kernel, strides, dilations, pads, group, autoPad } = s;
  const padding = autoPad === "NOTSET" || autoPad === "VALID" ? { pads } : { auto_pad: autoPad };
  const y = emit.Conv([x, w, bias], { kernel_shape: kernel, strides, dilations, group, ...padding });
  return activate(emit, sum === undefined ? y : emit.Add([y, sum]), s.activation);
}

const FusedConv = defineOp<Settings>({
  name: "FusedConv",
  domain: microsoft,
  read,
  infer: (s, site) => {
    const dims = convDims(s, site);
    const { type } = need(site, 0);
    if (dims instanceof Miss) return site.inputs[0]?.dims === undefined ? [{ type, dims: undefined }] : dims;
    return [{ type, dims }];
  },
  parameters: stored,
  weight: (s, site) => {
    const role = convWeight(s, site);
    const fused = fusedInto(s, site);
    return role instanceof Miss || fused === undefined ? role : { ...role, fused };
  },
  axes: (s, site) => {
    const rule = convAxes(s, site);
    if (rule instanceof Miss) return rule;
    const sum = [0, 1].map((axis): AxisLink => ({ from: ["in3", axis], to: ["out0", axis] }));
    if (site.inputs[3] === undefined) return rule;
    return { ...rule, links: [...rule.links, ...sum] };
  },
  lower: (s, emit, inputs) => [primitives(s, emit, inputs)],
  cost: convCost,
  quantize: new Miss("its activation is fused into it: lower it first"),
});

const channelsFirst = (dims: readonly Dim[]): readonly Dim[] => [
  dims[0] as Dim,
  dims.at(-1) as Dim,
  ...dims.slice(1, -1),
];
const channelsLast = (dims: readonly Dim[]): readonly Dim[] => [dims[0] as Dim, ...dims.slice(2), dims[1] as Dim];

/** The site as a convolution with channels first would see it. */
function turned(site: Site): Site {
  const turn = (operand: Operand | undefined): Operand | undefined =>
    operand?.dims === undefined ? operand : { ...operand, dims: channelsFirst(operand.dims) };
  return { ...site, inputs: site.inputs.map((operand, input) => (input % 3 === 0 ? turn(operand) : operand)) };
}

function nhwc(name: string): Op {
  return defineOp<Settings>({
    name,
    domain: microsoft,
    read,
    infer: (s, site) => {
      const { type, dims } = need(site, 0);
      if (dims === undefined) return [{ type, dims }];
      const found = convDims(s, turned(site));
      return found instanceof Miss ? found : [{ type, dims: channelsLast(found) }];
    },
    parameters: stored,
    weight: (s, site) => {
      const role = convWeight(s, site);
      if (role instanceof Miss) return role;
      const last = s.kernel.length + 1;
      const fused = fusedInto(s, site);
      return { ...role, dataAxis: last, outputAxis: last, ...(fused === undefined ? {} : { fused }) };
    },
    axes: new Miss("has its channels last, and no kernel on CPU to check with how they are cut"),
    lower: (s, emit, [x, w, bias, sum]) => {
      if (x === undefined) return new Miss("its data is missing");
      const rank = s.kernel.length + 2;
      const spatial = Array.from({ length: rank - 2 }, (_, axis) => axis + 1);
      const first = (value: Value): Value => emit.Transpose([value], { perm: [0, rank - 1, ...spatial] });
      const y = primitives(s, emit, [first(x), w, bias, sum === undefined ? undefined : first(sum)]);
      return [emit.Transpose([y], { perm: [0, ...spatial.map((axis) => axis + 1), 1] })];
    },
    cost: (s, site) => convCost(s, turned(site)),
    quantize: new Miss("has its channels last: lower it first"),
  });
}

export const microsoftConvOperators: readonly Op[] = [FusedConv, nhwc("NhwcConv"), nhwc("NhwcFusedConv")];
