import * as v from "valibot";
import { option } from "#pass";
import { defineCommand } from "../command.ts";
import { fork } from "../fork.ts";

export const options = v.object({
  out: option(v.string(), "file to write (default: model.svg)", { short: "-o", value: "model.svg" }),
  original: option(v.string(), "the original: show the bytes of each layer in both models", { value: "original.onnx" }),
});

export default defineCommand({
  name: "plot",
  summary: "draw the graph as an SVG picture",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options,
  isDeterministic: true,
  examples: ["plot model.onnx -o model.svg", "plot small.onnx --original original.onnx"],
  run: (words, options, session) => fork("plot", words, options, session),
});
