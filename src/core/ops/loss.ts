/**
 * Losses that a model contains: NegativeLogLikelihoodLoss, and SoftmaxCrossEntropyLoss, which first takes the log-softmax over axis 1 (its second
 * output). They are defined for inference: training adds its loss to the scores.
 * Scores: samples × classes × positions; targets: class indices, samples × positions. A position costs -weight(class) · score(class), or 0 for
 * `ignore_index`. "mean" divides by the sum of the counted weights.
 */
import { Miss } from "../errors.ts";
import { type AxisLink, defineOp, type Inferred, type Op, type Site } from "./define.ts";
import { integer, text } from "./shared/attributes.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { dimsAt, need, positions } from "./shared/rules.ts";

interface Settings {
  readonly ignored: number | undefined;
  readonly reduction: string;
}

function read(site: Site): Settings {
  const ignored = site.attribute("ignore_index") === undefined ? undefined : integer(site, "ignore_index", 0);
  return { ignored, reduction: text(site, "reduction", "mean") };
}

function loss(name: "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss"): Op {
  const _normalizes = name === "SoftmaxCrossEntropyLoss";
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
    gradient: inferenceOnly,
  });
}

export const lossOperators: readonly Op[] = [loss("NegativeLogLikelihoodLoss"), loss("SoftmaxCrossEntropyLoss")];
