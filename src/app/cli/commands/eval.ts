/** The command `pith eval`: scores a model on data, and checks goals. */
import * as v from "valibot";
import { option } from "#pass";
import { targetOption } from "../../../techniques/quantize/runtimes.ts";
import { defineCommand } from "../command.ts";
import { dataFlags, partFlag } from "../flags/data.ts";
import { markdownFlag } from "../flags/markdown.ts";
import { metricFlags } from "../flags/metrics.ts";
import { fork } from "../fork.ts";

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

export const options = v.object({
  original: option(v.string(), "the original, to compare predictions with it sample by sample", {
    value: "original.onnx",
    common: true,
  }),
  maxDrop: option(
    v.pipe(v.number(), v.minValue(0)),
    "largest allowed drop of the metric compared with the original, such as 1%",
    { common: true },
  ),
  strict: option(v.boolean(), "require the whole 95 % confidence interval to meet the goals", { common: true }),
  minAccuracy: option(share, "minimum accuracy, such as 90%", { percent: true, common: true }),
  minAgreement: option(share, "minimum agreement with the original, such as 97%", { percent: true, common: true }),
  minCosine: option(
    v.pipe(v.number(), v.maxValue(1)),
    "minimum mean cosine similarity to the original's vectors, such as 0.99",
    { common: true },
  ),
  score: option(v.string(), "your own metric: a module whose default export is a function (model file) => number", {
    value: "score.mjs",
    common: true,
  }),
  target: v.optional(targetOption("runtimes on which its outputs are compared with those of the original in Node")),
  ...markdownFlag,
  ...metricFlags,
  ...dataFlags,
  ...partFlag,
});

export default defineCommand({
  name: "eval",
  summary: "score a model on data, and compare it with its original",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options,
  examples: [
    "eval resnet20.onnx --data cifar10/ --preprocess cifar10",
    "eval m.q4.onnx --original m.onnx --target wasm,webgpu",
    "eval m.int8.onnx --original m.onnx --data mnist/ --max-drop 1% --markdown $GITHUB_STEP_SUMMARY",
  ],
  run: (words, flags, session) => fork("eval", words, flags, session),
});
