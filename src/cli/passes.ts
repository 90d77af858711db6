/**
 * The passes that are commands: found here by the command, for its flags, and by the job, to run it. What samples a pass is given and whether it
 * takes masks is said by its step; each is loaded alone, so that help answers at once.
 */
import type { AnyPass } from "../recipe/steps.ts";

export interface PassCommand {
  /** The command's name, and that of the recipe's step (`recipe/steps.ts`). */
  readonly name: string;
  readonly summary: string;
  /** What the result is called by default, with these settings: model.<suffix>.onnx. */
  readonly suffix: (given: Readonly<Record<string, unknown>>) => string;
  /** The same for the help, where one name does not say it. */
  readonly results?: string;
  /** What the model that the command takes is to it, unless just that. */
  readonly takes?: string;
  readonly examples: readonly string[];
  /** What loses less than these settings. */
  readonly gentler?: (given: Readonly<Record<string, unknown>>) => string;
  /** Whether these settings, as they were given, make no sense without data: why. */
  readonly dataNeeded?: (given: Readonly<Record<string, unknown>>) => string | undefined;
  load(): Promise<AnyPass>;
}

/** Of what is right already. */
const lowerRate = "Try a lower --learning-rate, such as 1e-4, or --warmup 0.1";

export const passCommands: readonly PassCommand[] = [
  {
    name: "train",
    summary: "train a model, or fine-tune a compressed one",
    suffix: () => "trained",
    examples: [
      "train net.onnx --data mnist/ --epochs 5 -o net.trained.onnx",
      "train resnet20.pruned.onnx --data cifar10/ --epochs 10 --learning-rate 1e-3",
    ],
    gentler: () => lowerRate,
    load: async () => (await import("../train/index.ts")).train,
  },
  {
    name: "prune",
    summary: "set the smallest weights to zero, or cut out the weakest channels",
    suffix: () => "pruned",
    examples: [
      "prune model.onnx --amount 50%",
      "prune resnet20.onnx --structured 30% --data cifar10/ --force -o resnet20.pruned.onnx",
    ],
    gentler: () => "Use a smaller amount",
    load: async () => (await import("../prune/index.ts")).prune,
  },
  {
    name: "quantize",
    summary: "store weights, and compute, in fewer bits",
    suffix: ({ scheme = "<scheme>" }) => (scheme === "float16" ? "float16" : `int8-${scheme}`),
    results: "model.int8-<scheme>.onnx; of float16 model.float16.onnx",
    examples: [
      "quantize model.onnx --scheme weights",
      "quantize resnet20.onnx --scheme static --data cifar10/ --max-drop 1% -o resnet20.int8.onnx",
    ],
    dataNeeded: ({ scheme }) => (scheme === "static" ? "the ranges of activations are measured on samples" : undefined),
    gentler: ({ scheme }) =>
      scheme === "dynamic"
        ? "Try --scheme static"
        : "Leave layers in float (--except, the first and the last before others)",
    load: async () => (await import("../quantize/index.ts")).quantize,
  },
  {
    name: "factorize",
    summary: "replace weight matrices by products of two smaller ones",
    suffix: () => "factorized",
    examples: [
      "factorize model.onnx --energy 0.95",
      "factorize model.onnx --layers fc1 --rank 32 --data mnist/ --max-drop 1%",
    ],
    gentler: () => "Use a higher rank, ratio or energy",
    load: async () => (await import("../factorize/index.ts")).factorize,
  },
  {
    name: "reinitialize",
    summary: "reinitialize all weights, to train a network from scratch",
    suffix: () => "fresh",
    examples: ["reinitialize model.onnx -o fresh.onnx --seed 1"],
    load: async () => (await import("../train/index.ts")).reinitialize,
  },
  {
    name: "distill",
    summary: "train a small model to imitate a larger one",
    suffix: () => "distilled",
    takes: "the student: the model that is trained",
    examples: ["distill student.onnx --teacher teacher.onnx --data mnist/ --epochs 10 --temperature 4 --alpha 0.7"],
    gentler: () => lowerRate,
    load: async () => (await import("../distill/index.ts")).distill,
  },
  {
    name: "recover",
    summary: "fit a compressed model to its original again, without labels",
    suffix: () => "recovered",
    takes: "the compressed model",
    examples: [
      "recover resnet20.pruned.onnx --original resnet20.onnx --data cifar10/",
      "recover small.onnx --original large.onnx --data photos/ --minutes 10",
    ],
    gentler: ({ until, minutes }) =>
      until === "blocks" || until === "end-to-end" || minutes !== undefined
        ? "Try a lower --learning-rate, such as 1e-4"
        : "Give more samples, or train as well (--until end-to-end)",
    load: async () => (await import("./recover.ts")).recoverCommand,
  },
];

export function passCommandNamed(name: string): PassCommand {
  const found = passCommands.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`There is no pass command "${name}".`);
  return found;
}
