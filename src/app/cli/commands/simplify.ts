/** The command `pith simplify`: reduces the nodes of a model. */
import * as v from "valibot";
import { option, withHelp } from "#pass";
import { targetOption } from "../../../techniques/quantize/runtimes.ts";
import { defineCommand } from "../command.ts";
import { folderOutputNote, precompressFlag } from "../files/result-path.ts";
import { fork } from "../fork.ts";

const repeatableFlag = (text: string, value: string) => v.optional(withHelp(v.array(v.string()), text, { value }), []);

export const options = v.object({
  out: option(v.string(), "file to write (default: model.simplified.onnx)", { short: "-o", value: "out.onnx" }),
  set: repeatableFlag("fix an input to a value: name=1,2,3", "input=value"),
  fix: repeatableFlag("fix a named dimension to a size", "name=size"),
  keepOutput: repeatableFlag("keep this value as an output, and remove the other outputs", "name"),
  dim: repeatableFlag("size of a named dimension for the comparison with the original", "name=n"),
  only: option(v.array(v.string()), "apply only this rule (--explain shows the rules that applied)", { value: "rule" }),
  skip: option(v.array(v.string()), "do not apply this rule", { value: "rule" }),
  target: v.optional(targetOption("use the fastest operators of these runtimes, and raise the operator set for it")),
  explain: option(
    v.boolean(),
    "show each rule that applied, how often, where, and the bytes that it saves; writes nothing",
  ),
  finalize: option(v.boolean(), "after training and pruning: fold masks, remove training roles"),
  force: option(v.boolean(), "write the result even if it differs from the original"),
  ...precompressFlag,
});

export default defineCommand({
  name: "simplify",
  summary: "reduce the number of nodes without changing the function",
  arguments: [{ name: "model.onnx", description: `the model; ${folderOutputNote}` }],
  options,
  examples: [
    "simplify model.onnx -o out.onnx",
    "simplify silero_vad.onnx --set sr=16000",
    "simplify model.trained.onnx --finalize",
    "simplify model.onnx --fix batch=1,sequence=128 --keep-output logits",
    "simplify decoder.onnx --target node,wasm",
    "simplify model.onnx --explain --skip gelu",
  ],
  run: (words, flags, session) => fork("simplify", words, flags, session),
});
