/**
 * GroupNorm and SkipGroupNorm of ONNX Runtime: normalization over the places of each group of channels, perhaps of a sum, with the channels
 * last (or first), and x · σ(x) afterwards where asked. They have kernels on GPU alone.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { defineOp, type Inferred, type Op } from "../define.ts";
import { decimal, integer } from "../shared/attributes.ts";
import { runsInFloat } from "../shared/misses.ts";
import { integersConstant, need, scalar, typeOf, widened } from "../shared/rules.ts";

interface Settings {
  readonly groups: number;
  readonly epsilon: number;
  readonly last: boolean;
  readonly silu: boolean;
  readonly outputs: number;
}

/** With channels first: N × groups × rest, normalized over the rest in float32, back, then scale and shift for each channel. */
function normalize(s: Settings, emit: Emit, x: Value, scale: Value, shift: Value): Value {
  const shape = emit.Shape([x]);
  const wide = widened(emit, x);
  const grouped = emit.Reshape([wide, integersConstant(emit, [0, s.groups, -1])]);
  const average = (value: Value): Value => emit.ReduceMean([value, integersConstant(emit, [2])], { keepdims: 1 });
  const centred = emit.Sub([grouped, average(grouped)]);
  const variance = average(emit.Mul([centred, centred]));
  const deviation = emit.Sqrt([emit.Add([variance, scalar(emit, typeOf(wide), s.epsilon)])]);
  const back = emit.Reshape([emit.Div([centred, deviation]), shape]);
  const perChannel = (vector: Value): Value => {
    const spread = emit.Reshape([vector, integersConstant(emit, [1, -1, 1, 1])]);
    return typeOf(spread) === typeOf(wide) ? spread : emit.CastLike([spread, wide]);
  };
  const scaled = emit.Add([emit.Mul([back, perChannel(scale)]), perChannel(shift)]);
  const y = s.silu ? emit.Mul([scaled, emit.Sigmoid([scaled])]) : scaled;
  return typeOf(y) === typeOf(x) ? y : emit.CastLike([y, x]);
}

function groupNorm(name: string, skips: boolean): Op {
  return defineOp<Settings>({
    name,
    domain: "com.microsoft",
    read: (site) => ({
      groups: integer(site, "groups", 1),
      epsilon: decimal(site, "epsilon", 1e-5),
      last: integer(site, "channels_last", 1) !== 0,
      silu: integer(site, "activation", 0) !== 0,
      outputs: site.outputs,
    }),
    infer: (_, site): readonly Inferred[] => {
      const { type, dims } = need(site, 0);
      return Array.from({ length: site.outputs }, () => ({ type, dims }));
    },
    parameters: (_, site) => [1, 2, 4].filter((input) => site.inputs[input]?.stored === true),
    scales: () => [1],
    weight: new Miss("scales and shifts; it has no matrix"),
    axes: new Miss("normalizes over groups of channels"),
    lower: (s, emit, [x, scale, shift, skip, bias]) => {
      if (x === undefined || scale === undefined || shift === undefined) return new Miss("an operand is missing");
      if (x.type?.dims?.length !== 4) return new Miss("its data is not known to have four axes");
      if (skip !== undefined && skip.type?.dims?.length !== 4) return new Miss("its skip has two axes");
      const parts = [skip, bias].filter((part) => part !== undefined);
      const sum = parts.reduce((before, part) => emit.Add([before, part]), x);
      if (!s.last) return [normalize(s, emit, sum, scale, shift), sum].slice(0, s.outputs);
      const first = emit.Transpose([sum], { perm: [0, 3, 1, 2] });
      const y = normalize(s, emit, first, scale, shift);
      return [emit.Transpose([y], { perm: [0, 2, 3, 1] }), sum].slice(0, s.outputs);
    },
    quantize: skips ? new Miss("adds and normalizes in float") : runsInFloat,
  });
}

export const microsoftGroupNormOperators: readonly Op[] = [
  groupNorm("GroupNorm", false),
  groupNorm("SkipGroupNorm", true),
];
