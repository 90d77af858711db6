/**
 * NegativeLogLikelihoodLoss, and SoftmaxCrossEntropyLoss, which first takes the log-softmax over axis 1 (its second output).
 * Scores: samples × classes × positions; targets: class indices, samples × positions. A position costs -weight(class) · score(class), or 0 for
 * `ignore_index`. "mean" divides by the sum of the counted weights.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type AxisLink, defineOp, type Inferred, type Op, type Site } from "./define.ts";
import { integer, text } from "./shared/attributes.ts";
import { dimsAt, need, positions, scalar, typeOf } from "./shared/rules.ts";

interface Settings {
  readonly ignored: number | undefined;
  readonly reduction: string;
}

function read(site: Site): Settings {
  const ignored = site.attribute("ignore_index") === undefined ? undefined : integer(site, "ignore_index", 0);
  return { ignored, reduction: text(site, "reduction", "mean") };
}

function lossOf(s: Settings, emit: Emit, [scores, target, weight]: readonly (Value | undefined)[]): Value | Miss {
  const type = typeOf(scores);
  const counts = s.ignored === undefined ? undefined : emit.Not([emit.Equal([target, s.ignored])]);
  // An ignored target can be an invalid class: it reads class 0 with weight 0.
  const classes = counts === undefined ? target : emit.Where([counts, target, 0]);
  const picked = emit.GatherElements([scores, emit.Unsqueeze([classes, [1]])], { axis: 1 });
  const cost = emit.Neg([emit.Squeeze([picked, [1]])]);
  const given = weight === undefined ? undefined : emit.Gather([weight, classes], { axis: 0 });
  const factor = counts === undefined ? given : emit.Where([counts, given ?? 1, scalar(emit, type, 0)]);
  const weighed = factor === undefined ? cost : emit.Mul([cost, factor]);
  if (s.reduction === "none") return weighed;
  const sum = emit.ReduceSum([weighed], { keepdims: 0 });
  if (s.reduction === "sum") return sum;
  return factor === undefined
    ? emit.ReduceMean([cost], { keepdims: 0 })
    : emit.Div([sum, emit.ReduceSum([factor], { keepdims: 0 })]);
}

function loss(name: "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss"): Op {
  const normalizes = name === "SoftmaxCrossEntropyLoss";
  return defineOp<Settings>({
    name,
    read,
    infer: (s, site) => {
      const { type, dims } = need(site, 0);
      const cost: Inferred = { type, dims: s.reduction === "none" ? site.inputs[1]?.dims : [] };
      return [cost, { type, dims }];
    },
    wants: (_, site) => positions(1, site.inputs[0]?.dims?.[1]),
    // Without a reduction, samples and positions stay separate.
    axes: (s, site) => {
      const dims = dimsAt(site, 1);
      if (dims instanceof Miss) return dims;
      const classes: AxisLink = { refuses: ["in0", 1], reason: "its labels are class indices" };
      if (s.reduction !== "none") return [classes];
      const links = dims.flatMap((_, axis): AxisLink[] => {
        const own = axis === 0 ? 0 : axis + 1;
        return [
          { from: ["in0", own], to: ["out0", axis] },
          { from: ["in0", own], to: ["out1", own] },
          { from: ["in1", axis], to: ["out0", axis] },
        ];
      });
      return [...links, classes];
    },
    lower: (s, emit, [scores, ...rest]) => {
      const logarithms = normalizes && scores !== undefined ? emit.LogSoftmax([scores], { axis: 1 }) : scores;
      const cost = lossOf(s, emit, [logarithms, ...rest]);
      if (cost instanceof Miss) return cost;
      return logarithms === undefined ? [cost] : [cost, logarithms];
    },
  });
}

export const lossOperators: readonly Op[] = [loss("NegativeLogLikelihoodLoss"), loss("SoftmaxCrossEntropyLoss")];
