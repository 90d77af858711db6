/** The commands of passes, by the name of the pass. */
import type { OptionValues } from "#pass";
import { quoteWord } from "../../judge/record/shell-command.ts";
import { type DtypeName, dtypes } from "../../techniques/quantize/dtypes.ts";

export interface PassCommand {
  /** Returns the suffix of the result's file name, such as ".pruned" for model.pruned.onnx. */
  suffix(options: OptionValues): string;
  /** Names of the results as shown in the help, if the suffix depends on options. */
  readonly resultNames?: string;
  /** The role of the input model in the help, if it differs from that of other commands. */
  readonly inputRole?: string;
  /** Whether the command's argument is the student. Without this argument, the reference model is the student. */
  readonly takesStudent?: true;
  /** Command lines for the help, without the leading `pith`. */
  readonly examples: readonly string[];
  /** Returns whether pruned values are stored as zeros in the file. */
  storesZeros?(options: OptionValues): boolean;
  /** Returns the suggested next command line without the leading `pith`. */
  nextCommand?(options: OptionValues, files: NextFiles): string | undefined;
}

type NextFiles = ReturnType<typeof nextFiles>;

/** Returns the files for the suggested next command line, quoted for a shell. @param isGoalMet whether evaluation showed it. */
export const nextFiles = (
  { model, original, out }: { readonly model: string; readonly original?: unknown; readonly out: string },
  data: { readonly path: string } | undefined,
  state: { readonly isTrainable: boolean; readonly isGoalMet: boolean; readonly isLost: boolean },
) => ({
  ...state,
  model: quoteWord(model),
  written: quoteWord(out),
  original: typeof original === "string" ? quoteWord(original) : undefined,
  data: data === undefined ? "SAMPLES" : quoteWord(data.path),
});

const recoverCommand = ({ model, written, data, isTrainable, isGoalMet }: NextFiles): string | undefined =>
  isTrainable && !isGoalMet
    ? `recover ${written} --original ${model} --data ${data}  # labels are not needed`
    : undefined;

export const passCommands: Readonly<Record<string, PassCommand>> = {
  prune: {
    suffix: () => ".pruned",
    examples: [
      "prune model.onnx --amount 50%",
      "prune resnet20.onnx --structured 30% --data cifar10/ --force -o resnet20.pruned.onnx",
      "prune bert_sst2/onnx/model.onnx --drop-layers 1 --data sst2.tsv --force",
    ],
    storesZeros: ({ structured = false, dropLayers }) => structured === false && dropLayers === undefined,
    nextCommand({ structured = false, keepMasks, dropLayers }, files) {
      if (structured !== false || dropLayers !== undefined) return recoverCommand(files);
      return keepMasks === true ? `train ${files.written} --data ${files.data}  # the zeros stay` : undefined;
    },
  },
  quantize: {
    suffix: ({ scheme = "<scheme>", dtype, weights, bits = 8 }) =>
      typeof dtype === "string" && dtype in dtypes
        ? dtypes[dtype as DtypeName].suffix
        : scheme === "float16" || scheme === "bfloat16"
          ? `.${scheme}`
          : typeof weights === "string" && weights !== "int8" && weights !== "uint8"
            ? `.${weights}${weights === "palette" ? bits : ""}`
            : `.int${bits}-${scheme}`,
    resultNames: "model.int8-<scheme>.onnx, model_q4.onnx; for a folder: <folder>.quantized",
    examples: [
      "quantize model.onnx --dtype q4",
      "quantize model.onnx --scheme weights --bits 4 --rounder mse --zero-points",
      "quantize resnet20.onnx --scheme static --data cifar10/ --max-drop 1% -o resnet20.int8.onnx",
      "quantize resnet20.onnx --scheme static --rounder rdoq --data cifar10/ --precompress gzip,br",
    ],
  },
  factorize: {
    suffix: () => ".factorized",
    examples: [
      "factorize model.onnx --budget 60% --cost macs",
      "factorize model.onnx --layers fc1 --rank 32 --data mnist/ --max-drop 1%",
    ],
    nextCommand: (_, files) => recoverCommand(files),
  },
  distill: {
    suffix: () => ".distilled",
    inputRole: "the student: the model that is trained (default: the teacher, made smaller)",
    takesStudent: true,
    examples: [
      "distill student.onnx --teacher teacher.onnx --data mnist/ --epochs 10",
      "distill --teacher resnet56.onnx --shrink 50% --data cifar10/ -o small.onnx",
      "distill --teacher bert.onnx --keep-layers 2 --data sst2.tsv -o small.onnx",
      'distill student.onnx --teacher teacher.onnx --data texts.txt --loss "hinton(temperature=2)"',
    ],
    nextCommand: (_, { original, written, data, isLost }) =>
      isLost ? `distill ${written} --teacher ${original} --data ${data} --epochs 20  # trains it further` : undefined,
  },
  train: {
    suffix: () => ".trained",
    examples: [
      "train net.onnx --data mnist/ --epochs 5 -o net.trained.onnx",
      "train resnet20.pruned.onnx --data cifar10/ --epochs 10 --learning-rate 1e-3",
    ],
  },
  recover: {
    suffix: () => ".recovered",
    inputRole: "the compressed model",
    examples: [
      "recover resnet20.pruned.onnx --original resnet20.onnx --data cifar10/",
      "recover small.onnx --original large.onnx --data photos/ --preprocess imagenet --minutes 10",
    ],
    nextCommand: (_, { original, written, data, isTrainable, isGoalMet }) =>
      original !== undefined && isTrainable && !isGoalMet
        ? `train ${written} --original ${original} --data ${data} --learning-rate 3e-4`
        : undefined,
  },
};
