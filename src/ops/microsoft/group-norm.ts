/**
 * GroupNorm and SkipGroupNorm of ONNX Runtime: normalization over the places of each group of channels, perhaps of a sum, with the channels
 * last (or first), and x · σ(x) afterwards where asked. They have kernels on GPU alone.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { defineOp, type Op } from "../define.ts";
import { decimal, integer } from "../shared/attributes.ts";
import { withChannelsFirst } from "../shared/convolution.ts";
import { runsInFloat } from "../shared/misses.ts";
import { normalize } from "../shared/normalize.ts";
import { castLike, integersConstant, range, sameAsInput, widened } from "../shared/rules.ts";

interface Settings {
  readonly groups: number;
  readonly epsilon: number;
  readonly last: boolean;
  readonly silu: boolean;
  readonly outputs: number;
}

/** With channels first: N × groups × rest, normalized over the rest in float32, back, then scale and shift for each channel. */
function normalizeGroups(s: Settings, emit: Emit, x: Value, scale: Value | undefined, shift: Value | undefined): Value {
  const wide = widened(emit, x);
  const grouped = emit.Reshape([wide, integersConstant(emit, [0, s.groups, -1])]);
  const back = emit.Reshape([normalize(emit, grouped, [2], s.epsilon).normalized, emit.Shape([x])]);
  const perChannel = (vector: Value | undefined): Value =>
    castLike(emit, emit.Reshape([vector, integersConstant(emit, [1, -1, 1, 1])]), wide);
  const scaled = emit.Add([emit.Mul([back, perChannel(scale)]), perChannel(shift)]);
  return castLike(emit, s.silu ? emit.Mul([scaled, emit.Sigmoid([scaled])]) : scaled, x);
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
    infer: (_, site) => range(site.outputs).flatMap(() => sameAsInput(site)),
    parameters: [1, 2, 4],
    scales: () => [1],
    weight: new Miss("scales and shifts; it has no matrix"),
    axes: new Miss("normalizes over groups of channels"),
    lower: (s, emit, [x, scale, shift, skip, bias]) => {
      if (x.type?.dims?.length !== 4) return new Miss("its data is not known to have four axes");
      if (skip !== undefined && skip.type?.dims?.length !== 4) return new Miss("its skip has two axes");
      const parts = [skip, bias].filter((part) => part !== undefined);
      const sum = parts.reduce((before, part) => emit.Add([before, part]), x);
      if (!s.last) return [normalizeGroups(s, emit, sum, scale, shift), sum].slice(0, s.outputs);
      const y = withChannelsFirst(emit, 4, [sum], ([first = sum]) => normalizeGroups(s, emit, first, scale, shift));
      return [y, sum].slice(0, s.outputs);
    },
    quantize: skips ? new Miss("adds and normalizes in float") : runsInFloat,
  });
}

export const microsoftGroupNormOperators: readonly Op[] = [
  groupNorm("GroupNorm", false),
  groupNorm("SkipGroupNorm", true),
];
