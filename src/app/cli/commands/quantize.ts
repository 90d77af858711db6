/** The command `pith quantize`, on one model or a folder. */
import { join } from "node:path";
import * as v from "valibot";
import { optionError, usageError } from "#ir";
import { type OptionValues, option, parseSize, sizeOption } from "#pass";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { dtypeNames } from "../../../techniques/quantize/dtypes.ts";
import { quantize } from "../../../techniques/quantize/quantize.ts";
import { defineCommand } from "../command.ts";
import { isFolder, pathNextTo } from "../files/file-paths.ts";
import { requireModel } from "../files/model-path.ts";
import { withDownloadOptions } from "../flags/download-goal.ts";
import { textFlag, withTextsAsData } from "../flags/texts.ts";
import { passCommand } from "./pass.ts";

const modelCommand = passCommand(quantize);

const fourBitsAdvice = "4 bits: --dtype q4; in other files --scheme weights --bits 4.";

const options = v.object({
  ...modelCommand.options.entries,
  dtype: option(v.array(v.picklist([...dtypeNames, "all"])), "variant for transformers.js; folders: several", {
    value: "dtype",
    common: true,
    instead: {
      int4: fourBitsAdvice,
      uint4: fourBitsAdvice,
      bnb4: fourBitsAdvice,
      int2: "2 bits: --dtype q2; in other files --scheme weights --bits 2.",
      float16: "16 bits: --dtype fp16; in other files --scheme float16.",
    },
  }),
  text: textFlag("sample sentences, or a file with one per line (short for --data)"),
  chunk: option(sizeOption, "maximum file size (folders); larger models use external data files", { value: "24MB" }),
});

type Options = v.InferOutput<typeof options>;

export default defineCommand({
  ...modelCommand,
  arguments: [{ name: "model.onnx", description: "the model, a folder for transformers.js, or hf:owner/name" }],
  options,
  omittedKeys: [...(modelCommand.omittedKeys ?? []), "dtype"],
  examples: [
    ...modelCommand.examples,
    "quantize minilm/ --dtype q8,q4,fp16 --chunk 24MB -o minilm.web/",
    "quantize hf:Xenova/all-MiniLM-L6-v2 --dtype q8",
  ],
  isWholeFolder: ({ dtype }) => dtype !== undefined,
  run: ([path = ""], options: Options, session) =>
    withTextsAsData(options, async ({ dtype, chunk, isText = false, ...rest }) => {
      if (rest.targetDownload !== undefined && rest.targetSize !== undefined)
        throw usageError("--target-download and --target-size are two goals, and each chooses other options.", {
          hint: "Give one: the size after brotli, or that of the file.",
        });
      const { scheme } = session.passOptions;
      if (dtype !== undefined && scheme !== undefined)
        throw optionError("--scheme and --dtype cannot be combined: use one of them.");
      const isSized = rest.targetSize !== undefined;
      const impliesWeights =
        dtype === undefined && scheme === undefined && (isSized || requiresWeightsScheme(session.passOptions));
      if (isSized && !impliesWeights && scheme !== "weights")
        throw optionError("--target-size chooses bits of weights: it is for --scheme weights.");
      const schemeOptions = impliesWeights ? { ...session.passOptions, scheme: "weights" } : session.passOptions;
      if (dtype === undefined && schemeOptions.scheme === undefined) {
        await requireModel(path);
        throw optionError("Choose what to quantize: --scheme static (with --data), dynamic, weights or float16.", {
          hint: "For a transformers.js folder: --dtype q8. pith compress with --data tries several and keeps the best.",
        });
      }
      if (dtype !== undefined && (await isFolder(path))) {
        const { out = pathNextTo(path, ".quantized") } = rest;
        if (rest.dryRun === true)
          throw usageError("--dry-run is for a single model and one dtype.", {
            hint: `For instance pith quantize ${quoteWord(join(path, "onnx", "model.onnx"))} --dtype ${dtype[0]} --dry-run.`,
          });
        const dtypes = dtype.includes("all") ? ("all" as const) : dtype.filter((name) => name !== "all");
        const fileBytes = chunk === undefined ? undefined : parseSize(chunk);
        const { calibrationSamples: samples } = rest;
        const sampleOptions = samples === undefined ? schemeOptions : { ...schemeOptions, samples };
        const variantOptions = withDownloadOptions(quantize, sampleOptions, rest.targetDownload, ({ id, text }) =>
          session.terminal.note(id, text),
        );
        const { writeVariants } = await import("./folder/write-variants.ts");
        return writeVariants(path, { ...rest, out, isText }, { dtypes, fileBytes }, variantOptions, session);
      }
      if (chunk !== undefined || dtype?.includes("all") === true || (dtype?.length ?? 1) > 1) {
        throw usageError("Several variants, and --chunk, are for the folder of a model, with config.json and onnx/.", {
          hint: "For instance pith quantize minilm/ --dtype q8,q4.",
        });
      }
      const passOptions = dtype === undefined ? schemeOptions : { ...schemeOptions, dtype: dtype[0] };
      return modelCommand.run([path], rest, { ...session, passOptions });
    }),
});

/** Returns whether only the weights scheme supports these options. */
const requiresWeightsScheme = ({ bits, block, onnxOnly, weights }: OptionValues): boolean =>
  block !== undefined ||
  (typeof bits === "number" && bits < 7) ||
  onnxOnly === true ||
  (weights !== undefined && weights !== "int8" && weights !== "uint8");
